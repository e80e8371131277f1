//! Guards that are none, and the wire that leads an agent to them.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::anyone::Anyone;
use super::certificate::Credentials;

/// A wire between an agent and what it takes for its guard. Its far end can be moved.
#[derive(Debug, Clone)]
pub struct Wire {
    address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
}

impl Wire {
    /// A wire that leads nowhere yet.
    pub fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let wire = Self {
            address: listener.local_addr().expect("an address"),
            target: Arc::default(),
        };
        let target = wire.target.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let target = *target.lock().unwrap_or_else(PoisonError::into_inner);
                thread::spawn(move || {
                    if let Some(far) = target.and_then(|at| TcpStream::connect(at).ok()) {
                        join(near, far);
                    }
                });
            }
        });
        wire
    }

    /// The near end.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads new connections there.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
    }
}

impl Default for Wire {
    fn default() -> Self {
        Self::new()
    }
}

fn join(near: TcpStream, far: TcpStream) {
    let (Ok(mut near_in), Ok(mut far_in)) = (near.try_clone(), far.try_clone()) else {
        return;
    };
    let (mut near_out, mut far_out) = (near, far);
    let up = thread::spawn(move || {
        let _ = std::io::copy(&mut near_in, &mut far_out);
        let _ = far_out.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut far_in, &mut near_out);
    let _ = near_out.shutdown(Shutdown::Write);
    let _ = up.join();
}

/// Something that listens where a guard should be, and keeps what it was told.
#[derive(Debug, Clone)]
pub struct Impostor {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Impostor {
    /// Speaks TLS with these credentials and protocols, and answers the first words of
    /// each client with `answer`.
    pub fn tls(credentials: &Credentials, protocols: &[&[u8]], answer: &'static [u8]) -> Self {
        let mut config = ServerConfig::builder_with_provider(wire::tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_client_cert_verifier(Arc::new(Anyone))
            .with_single_cert(credentials.chain.clone(), credentials.private_key())
            .expect("a certificate and its key");
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let config = Arc::new(config);
        Self::serving(move |tcp, heard| {
            let Ok(connection) = ServerConnection::new(config.clone()) else {
                return;
            };
            let mut stream = StreamOwned::new(connection, tcp);
            let mut buffer = vec![0; 64 * 1024];
            if let Ok(count @ 1..) = stream.read(&mut buffer) {
                heard(&buffer[..count]);
                let _ = stream.write_all(answer);
                let _ = stream.flush();
            }
            stream.conn.send_close_notify();
            let _ = stream.flush();
            let _ = stream.sock.shutdown(Shutdown::Write);
            let _ = stream.sock.read(&mut buffer);
        })
    }

    /// Answers the first bytes of each client with `answer`, without TLS.
    pub fn plain(answer: &'static [u8]) -> Self {
        Self::serving(move |mut tcp, heard| {
            let mut buffer = vec![0; 64 * 1024];
            if let Ok(count @ 1..) = tcp.read(&mut buffer) {
                heard(&buffer[..count]);
                let _ = tcp.write_all(answer);
            }
            let _ = tcp.shutdown(Shutdown::Write);
            while matches!(tcp.read(&mut buffer), Ok(1..)) {}
        })
    }

    fn serving(serve: impl Fn(TcpStream, &dyn Fn(&[u8])) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let impostor = Self {
            address: listener.local_addr().expect("an address"),
            heard: Arc::default(),
        };
        let heard = impostor.heard.clone();
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let (serve, heard) = (serve.clone(), heard.clone());
                thread::spawn(move || {
                    serve(tcp, &|bytes| {
                        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                        heard.push(bytes.to_vec());
                    });
                });
            }
        });
        impostor
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients told it: behind TLS the words inside, else the bytes.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The certificate and key of the guard of a state directory: what a thief would have.
pub fn stolen_from(state: &Path) -> Credentials {
    let read = |name: &str| {
        std::fs::read_to_string(state.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    let mut stolen = Credentials::from_pem(&read("guard.crt"), &read("guard.key"));
    if stolen.chain.len() == 1 {
        let authority = Credentials::from_pem(&read("authority.crt"), "");
        stolen.chain.extend(authority.chain);
    }
    stolen
}

/// A ServerHello of TLS 1.2 (RFC 5246 section 7.4.1.3): what a downgrade looks like.
pub const SERVER_HELLO_1_2: &[u8] = &{
    let mut bytes = [0x5a; 5 + 4 + 38];
    // Record: handshake, TLS 1.2, 42 bytes; message: ServerHello, 38 bytes; version 1.2.
    let head = [22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3];
    let mut at = 0;
    while at < head.len() {
        bytes[at] = head[at];
        at += 1;
    }
    // No session id, ECDHE-ECDSA-AES128-GCM-SHA256, no compression.
    bytes[43] = 0;
    bytes[44] = 0xc0;
    bytes[45] = 0x2b;
    bytes[46] = 0;
    bytes
};
