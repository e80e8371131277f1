//! A client that presents what it likes, says what it likes, and tells what came back.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rpyc::brine::{Limits, Plain};
use rpyc::{Body, Boxed, Family, Request};
use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, ClientConfig, HandshakeKind};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wire::Refusal;
use wire::enrolment::{Issued, Reply};
use wire::hello::{Accepted, Hello, Verdict, Wanted};
use wire::message::{self, Message, ReadError};
use wire::tls::ALPN_SESSION;

use super::anyone::Anyone;
use super::certificate::Credentials;
use crate::programs::DEADLINE;

/// What the guard answered.
#[derive(Debug)]
pub enum Came {
    /// A TLS alert.
    Alert(AlertDescription),
    /// A refusing verdict. `true` when the end was announced with `close_notify`.
    Refused(Refusal, bool),
    /// An accepting verdict.
    Accepted(Box<Accepted>),
    /// What an authority hands out.
    Issued(Box<Issued>),
    /// Other bytes, up to the end of the connection.
    Bytes(Vec<u8>),
    /// The end of the connection and not one byte before it.
    Nothing,
    /// The connection failed without a word.
    Failed(io::ErrorKind, String),
    /// Nothing at all within the deadline of a test.
    Silence,
}

/// One try to get in.
#[derive(Debug)]
pub struct Attempt {
    /// The client's end of the connection, as the audit names it.
    pub local: SocketAddr,
    /// What came back.
    pub came: Came,
    /// How the handshake went, when there was one.
    pub handshake: Option<HandshakeKind>,
}

/// A session that the guard has let in.
#[derive(Debug)]
pub struct Session {
    /// The stream to Houdini.
    pub stream: TlsStream<TcpStream>,
    /// The client's end of the connection, as the audit names it.
    pub local: SocketAddr,
    /// What the guard said.
    pub accepted: Accepted,
    /// How the handshake went.
    pub handshake: HandshakeKind,
    /// Questions that were asked.
    pings: u64,
}

/// Which client knocks, and how.
#[derive(Debug, Clone)]
pub struct Client {
    guard: SocketAddr,
    from: Option<IpAddr>,
    config: Arc<ClientConfig>,
}

impl Client {
    /// A client with these credentials, or with none, that asks for a session.
    pub fn new(guard: SocketAddr, credentials: Option<&Credentials>) -> Self {
        let provider = wire::tls::provider();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone));
        let mut config = match credentials {
            Some(own) => builder
                .with_client_auth_cert(own.chain.clone(), own.private_key())
                .expect("a certificate and its key"),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN_SESSION.to_vec()];
        config.resumption = Resumption::disabled();
        Self {
            guard,
            from: None,
            config: Arc::new(config),
        }
    }

    /// A client whose key is not the one in its certificate: somebody who found a
    /// certificate and tries it.
    pub fn mismatched(guard: SocketAddr, credentials: &Credentials) -> Self {
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&credentials.private_key());
        let own = CertifiedKey::new(credentials.chain.clone(), key.expect("a usable key"));
        let mut client = Self::new(guard, None);
        Arc::make_mut(&mut client.config).client_auth_cert_resolver =
            Arc::new(SingleCertAndKey::from(own));
        client
    }

    /// Offers these protocols instead; none leaves the extension out.
    pub fn offering(mut self, protocols: &[&[u8]]) -> Self {
        let config = Arc::make_mut(&mut self.config);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        self
    }

    /// Keeps tickets, and uses them the next time. Clones share them.
    pub fn resuming(mut self) -> Self {
        let store = Arc::new(ClientSessionMemoryCache::new(64));
        Arc::make_mut(&mut self.config).resumption = Resumption::store(store);
        self
    }

    /// Speaks before the handshake is done, where a ticket allows it.
    pub fn with_early_data(mut self) -> Self {
        Arc::make_mut(&mut self.config).enable_early_data = true;
        self
    }

    /// Comes from this address.
    pub fn from(mut self, address: impl Into<IpAddr>) -> Self {
        self.from = Some(address.into());
        self
    }

    /// Handshakes, says `hello`, and waits for the answer.
    pub async fn try_hello(&self, hello: &[u8]) -> Attempt {
        self.knock(hello).await.1
    }

    /// Handshakes, says nothing, and waits for the answer.
    pub async fn try_silence(&self) -> Attempt {
        self.try_hello(b"").await
    }

    /// Says `hello` a byte at a time, with a pause behind each, until it is answered.
    pub async fn try_dripping(&self, hello: &[u8], pause: Duration) -> Attempt {
        let (stream, local) = match self.handshake().await {
            Ok(connected) => connected,
            Err(attempt) => return attempt,
        };
        let handshake = stream.get_ref().1.handshake_kind();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let drip = async {
            for byte in hello {
                let _ = writer.write_all(&[*byte]).await;
                let _ = writer.flush().await;
                tokio::time::sleep(pause).await;
            }
            std::future::pending::<()>().await;
        };
        let came = tokio::select! {
            came = answer(&mut reader) => came,
            () = drip => Came::Silence,
        };
        Attempt {
            local,
            came,
            handshake,
        }
    }

    /// Says `hello`, ends its half of the connection, and waits for the answer.
    pub async fn try_then_end(&self, hello: &[u8]) -> Attempt {
        let (mut stream, local) = match self.handshake().await {
            Ok(connected) => connected,
            Err(attempt) => return attempt,
        };
        let _ = stream.write_all(hello).await;
        let _ = stream.shutdown().await;
        let came = answer(&mut stream).await;
        Attempt {
            local,
            came,
            handshake: stream.get_ref().1.handshake_kind(),
        }
    }

    /// As [`Client::try_hello`], with the session when one came.
    ///
    /// # Errors
    /// What came instead.
    pub async fn open(&self, hello: &[u8]) -> Result<Session, Attempt> {
        let (stream, attempt) = self.knock(hello).await;
        match (stream, attempt.came) {
            (Some(stream), Came::Accepted(accepted)) => Ok(Session {
                handshake: attempt.handshake.expect("a handshake"),
                local: attempt.local,
                accepted: *accepted,
                stream,
                pings: 0,
            }),
            (_, came) => Err(Attempt { came, ..attempt }),
        }
    }

    /// The connection after its handshake.
    ///
    /// # Errors
    /// What came instead.
    pub async fn handshake(&self) -> Result<(TlsStream<TcpStream>, SocketAddr), Attempt> {
        match reach(self.guard, self.from).await {
            (Ok(tcp), local) => self.handshake_over((tcp, local)).await,
            (Err(error), local) => Err(Attempt {
                local,
                came: failure(&error),
                handshake: None,
            }),
        }
    }

    /// As [`handshake`](Self::handshake), over a connection that [`connect`] has made.
    ///
    /// # Errors
    /// What came instead.
    pub async fn handshake_over(
        &self,
        (tcp, local): (TcpStream, SocketAddr),
    ) -> Result<(TlsStream<TcpStream>, SocketAddr), Attempt> {
        let name = ServerName::try_from("guard.invalid").expect("a name");
        let connector = TlsConnector::from(self.config.clone());
        match timeout(DEADLINE, connector.connect(name, tcp)).await {
            Ok(Ok(stream)) => Ok((stream, local)),
            failed => Err(Attempt {
                local,
                came: failed.map_or(Came::Silence, |result| {
                    result.map_or_else(|error| failure(&error), |_| Came::Nothing)
                }),
                handshake: None,
            }),
        }
    }

    async fn knock(&self, hello: &[u8]) -> (Option<TlsStream<TcpStream>>, Attempt) {
        let (mut stream, local) = match self.handshake().await {
            Ok(connected) => connected,
            Err(attempt) => return (None, attempt),
        };
        // A write can fail because the guard has spoken already: what it said counts.
        let _ = stream.write_all(hello).await;
        let _ = stream.flush().await;
        let came = answer(&mut stream).await;
        let handshake = stream.get_ref().1.handshake_kind();
        let attempt = Attempt {
            local,
            came,
            handshake,
        };
        (Some(stream), attempt)
    }
}

/// Connects without TLS, sends `bytes`, and returns what came.
pub async fn try_plain(guard: SocketAddr, bytes: &[u8]) -> Attempt {
    let (mut tcp, local) = connect(guard, None).await;
    let _ = tcp.write_all(bytes).await;
    let mut got = Vec::new();
    let came = match timeout(DEADLINE, tcp.read_to_end(&mut got)).await {
        Err(_) => Came::Silence,
        Ok(_) if !got.is_empty() => Came::Bytes(got),
        Ok(Ok(_)) => Came::Nothing,
        Ok(Err(error)) => failure(&error),
    };
    Attempt {
        local,
        came,
        handshake: None,
    }
}

/// A TCP connection to the guard, and the client's end of it.
///
/// # Panics
/// When the guard does not take it.
pub async fn connect(guard: SocketAddr, from: Option<IpAddr>) -> (TcpStream, SocketAddr) {
    let (tcp, local) = reach(guard, from).await;
    (tcp.expect("the guard takes connections"), local)
}

/// As [`connect`], where there may be no guard.
async fn reach(guard: SocketAddr, from: Option<IpAddr>) -> (io::Result<TcpStream>, SocketAddr) {
    let (socket, loopback) = match guard {
        SocketAddr::V4(_) => (TcpSocket::new_v4(), IpAddr::from(Ipv4Addr::LOCALHOST)),
        SocketAddr::V6(_) => (TcpSocket::new_v6(), IpAddr::from(Ipv6Addr::LOCALHOST)),
    };
    let socket = socket.expect("a socket");
    let own = SocketAddr::new(from.unwrap_or(loopback), 0);
    socket.bind(own).expect("a loopback address");
    let local = socket.local_addr().expect("an address");
    let connected = timeout(DEADLINE, socket.connect(guard)).await;
    (connected.unwrap_or_else(|late| Err(late.into())), local)
}

/// The answer on a stream that has said its hello.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Came {
    timeout(DEADLINE, read_answer(stream))
        .await
        .unwrap_or(Came::Silence)
}

async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> Came {
    let mut head = [0; 8];
    let mut filled = 0;
    while filled < head.len() {
        match stream.read(&mut head[filled..]).await {
            Ok(0) if filled == 0 => return Came::Nothing,
            Ok(0) => return Came::Bytes(head[..filled].to_vec()),
            Ok(count) => filled += count,
            Err(error) => return failure(&error),
        }
    }
    if head[..3] != *b"HRG" {
        let mut bytes = head.to_vec();
        let _ = stream.read_to_end(&mut bytes).await;
        return Came::Bytes(bytes);
    }
    let mut whole = io::Cursor::new(head.to_vec());
    let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
    assert!(length <= Reply::CAP, "an answer over its bound");
    let mut body = vec![0; length];
    if let Err(error) = stream.read_exact(&mut body).await {
        return failure(&error);
    }
    whole.get_mut().extend(body);
    match understand(&mut whole, head[3] & 0x0f).await {
        Ok(Came::Refused(refusal, _)) => {
            let mut rest = Vec::new();
            let end = stream.read_to_end(&mut rest).await;
            assert!(rest.is_empty(), "bytes behind a refusal: {rest:?}");
            Came::Refused(refusal, end.is_ok())
        }
        Ok(came) => came,
        Err(error) => Came::Failed(io::ErrorKind::InvalidData, error.to_string()),
    }
}

async fn understand(whole: &mut io::Cursor<Vec<u8>>, kind: u8) -> Result<Came, ReadError> {
    if kind == Reply::KIND {
        return Ok(match message::read(whole).await? {
            Reply::Issued(issued) => Came::Issued(issued),
            Reply::Refused(refusal) => Came::Refused(refusal, false),
        });
    }
    Ok(match message::read(whole).await? {
        Verdict::Accepted(accepted) => Came::Accepted(Box::new(accepted)),
        Verdict::Refused(refusal) => Came::Refused(refusal, false),
    })
}

fn failure(error: &io::Error) -> Came {
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::AlertReceived(alert)) => Came::Alert(*alert),
        _ => Came::Failed(error.kind(), error.to_string()),
    }
}

/// The bytes of a hello with this token.
pub fn hello(token: &str) -> Vec<u8> {
    hello_for(token, None)
}

/// The bytes of a hello that wants this upstream.
pub fn hello_for(token: &str, upstream: Option<Wanted>) -> Vec<u8> {
    let hello = Hello {
        token: wire::Secret::new(token.to_owned()),
        upstream,
        client: "e2e".into(),
    };
    message::encode(&hello).expect("a hello within its bound")
}

impl Session {
    /// Asks and answers in rpyc, with an upstream that echoes: the echo of a question is a
    /// question of the upstream's, and that of the answer to it the answer to ours.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn ping(&mut self) -> io::Result<()> {
        self.pings += 1;
        let none = Plain::read(&[0], Limits::NARROW).expect("None in brine");
        let data = Boxed::Plain(none);
        for body in [Body::Request(Request::Ping { data }), Body::Reply(data)] {
            let mut payload = Vec::new();
            let message = rpyc::Message {
                seq: self.pings,
                family: Family::Classic,
                threads: None,
                body,
            };
            message.write(&mut payload);
            let sent = rpyc::frame::encode(&payload);
            self.stream.write_all(&sent).await?;
            self.stream.flush().await?;
            let mut back = vec![0; sent.len()];
            self.stream.read_exact(&mut back).await?;
            assert_eq!(back, sent, "the echo is another");
        }
        Ok(())
    }

    /// Sends and receives without a pause until the session ends; returns how long that
    /// was, or `None` when it outlived `limit`.
    pub async fn busy_until_cut(&mut self, limit: Duration) -> Option<Duration> {
        let start = tokio::time::Instant::now();
        let traffic = async { while self.ping().await.is_ok() {} };
        timeout(limit, traffic).await.ok().map(|()| start.elapsed())
    }
}
