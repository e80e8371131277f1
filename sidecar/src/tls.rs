//! The TLS handshake, and what comes instead of one.
//!
//! A handshake proves that the peer holds the key of a certificate that the authority
//! signed. Dates, name, use and revocation are looked at afterwards in
//! [`crate::identity`], on every session: rustls restores the client's certificate from a
//! resumption ticket without looking at it again, and a check behind the handshake can
//! answer with a sentence where the handshake has only an alert.

mod chain;
mod plain;

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use wire::Code;
use wire::peer::PeerStream;
use wire::tls::{ALPN_ENROL, ALPN_FOLLOW, ALPN_RENEW, ALPN_SESSION, provider};

use crate::denial::Denial;
use chain::ChainVerifier;
pub use chain::{algorithms, verify_chain};

/// What may still be read from a peer that was refused, so that its unread bytes do not
/// turn the refusal into a reset.
const DRAIN_BYTES: u64 = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);

const TLS_HANDSHAKE_RECORD: u8 = 0x16;

/// One configuration for each protocol, so that nothing learnt in one counts in another.
#[derive(Debug)]
pub struct TlsSettings {
    session: Arc<ServerConfig>,
    bare: Arc<ServerConfig>,
    enrol: Arc<ServerConfig>,
    renew: Arc<ServerConfig>,
    follow: Arc<ServerConfig>,
    leaf: Option<CertificateDer<'static>>,
}

impl TlsSettings {
    /// Settings for a guard with these credentials, under this authority.
    ///
    /// # Errors
    /// [`Error`] when key and certificate do not fit.
    pub fn new(
        credentials: &certs::GuardCredentials,
        authority: &CertificateDer<'static>,
    ) -> Result<Self, Error> {
        let verifier = Arc::new(ChainVerifier::new(authority.clone()));
        let mutual = |alpn: Option<&[u8]>| config(credentials, Some(verifier.clone()), alpn);
        let mut session = mutual(Some(ALPN_SESSION))?;
        session.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        session.send_tls13_tickets = 1;
        Ok(Self {
            session: Arc::new(session),
            bare: Arc::new(mutual(None)?),
            enrol: Arc::new(config(credentials, None, Some(ALPN_ENROL))?),
            renew: Arc::new(mutual(Some(ALPN_RENEW))?),
            follow: Arc::new(mutual(Some(ALPN_FOLLOW))?),
            leaf: credentials.chain.first().cloned(),
        })
    }

    /// Whether these settings present the certificate of these credentials.
    pub fn serves(&self, credentials: &certs::GuardCredentials) -> bool {
        self.leaf.as_ref() == credentials.chain.first()
    }
}

/// A configuration without resumption.
fn config(
    credentials: &certs::GuardCredentials,
    verifier: Option<Arc<ChainVerifier>>,
    alpn: Option<&[u8]>,
) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config =
        builder.with_single_cert(credentials.chain.clone(), credentials.key.clone_key())?;
    config.alpn_protocols = alpn.into_iter().map(<[u8]>::to_vec).collect();
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A mutual TLS stream of the session protocol. Its peer holds a key that the authority
/// certified; who that is, and whether it still counts, is not known yet.
#[derive(Debug)]
pub struct TlsSession(TlsStream<PeerStream>);

/// As [`TlsSession`], of the renewal protocol.
#[derive(Debug)]
pub struct RenewalSession(TlsStream<PeerStream>);

/// As [`TlsSession`], of the protocol in which guards follow the authority.
#[derive(Debug)]
pub struct FollowerSession(TlsStream<PeerStream>);

/// A TLS stream of the enrolment protocol. Its peer has proved nothing.
#[derive(Debug)]
pub struct EnrolmentSession(TlsStream<PeerStream>);

macro_rules! mutual_session {
    ($($type:ident)*) => {$(
        impl $type {
            /// The certificate that the peer presented.
            pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
                self.0.get_ref().1.peer_certificates().and_then(<[_]>::first)
            }

            /// Whether the handshake was short, so that the chain was not looked at.
            pub fn resumed(&self) -> bool {
                self.0.get_ref().1.handshake_kind() != Some(HandshakeKind::Full)
            }

            /// The stream itself.
            pub fn stream(&mut self) -> &mut TlsStream<PeerStream> {
                &mut self.0
            }
        }
    )*};
}
mutual_session!(TlsSession RenewalSession FollowerSession);

impl EnrolmentSession {
    /// The stream itself.
    pub fn stream(&mut self) -> &mut TlsStream<PeerStream> {
        &mut self.0
    }
}

/// A handshake that succeeded, by protocol.
#[derive(Debug)]
pub enum Accepted {
    /// A client that wants Houdini.
    Session(TlsSession),
    /// Somebody with an invite.
    Enrolment(EnrolmentSession),
    /// A client that wants a new token or certificate.
    Renewal(RenewalSession),
    /// Another guard of the authority.
    Follower(FollowerSession),
}

/// Does the handshake. When it fails, the peer has been told as far as it can be told. The
/// stream breaks when the peer's machine has not been heard of for `vanished_after`.
///
/// # Errors
/// A [`Denial`] of the stage `tls`.
pub async fn accept(
    tcp: TcpStream,
    settings: &TlsSettings,
    deadline: Instant,
    vanished_after: Duration,
) -> Result<Accepted, Denial> {
    let mut first = [0];
    match timeout_at(deadline, tcp.peek(&mut first)).await {
        Err(_) => return Err(handshake_timeout()),
        Ok(Ok(0) | Err(_)) => return Err(aborted()),
        Ok(Ok(_)) if first[0] != TLS_HANDSHAKE_RECORD => return Err(plain::refuse_plain(tcp).await),
        Ok(Ok(_)) => {}
    }
    let tcp = PeerStream::new(tcp, vanished_after).map_err(|_| aborted())?;
    match timeout_at(deadline, handshake(tcp, settings)).await {
        Ok(result) => result,
        Err(_) => Err(handshake_timeout()),
    }
}

async fn handshake(tcp: PeerStream, settings: &TlsSettings) -> Result<Accepted, Denial> {
    let mut acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp);
    let start = match (&mut acceptor).await {
        Ok(start) => start,
        Err(error) => {
            if let Some(tcp) = acceptor.take_io() {
                linger(tcp).await;
            }
            return Err(explain(&error));
        }
    };
    let offered: Option<Vec<Vec<u8>>> = start
        .client_hello()
        .alpn()
        .map(|list| list.map(<[u8]>::to_vec).collect());
    let offers = |wanted: &[u8]| offered.iter().flatten().any(|offer| offer == wanted);
    let config = if offered.is_none() {
        &settings.bare
    } else if offers(ALPN_ENROL) {
        &settings.enrol
    } else if offers(ALPN_RENEW) {
        &settings.renew
    } else if offers(ALPN_FOLLOW) {
        &settings.follow
    } else {
        &settings.session
    };
    let stream = match start.into_stream(config.clone()).into_fallible().await {
        Ok(stream) => stream,
        Err((error, tcp)) => {
            linger(tcp).await;
            return Err(explain(&error));
        }
    };
    // What was negotiated decides, not what was offered.
    match stream.get_ref().1.alpn_protocol() {
        Some(ALPN_SESSION) => Ok(Accepted::Session(TlsSession(stream))),
        Some(ALPN_ENROL) => Ok(Accepted::Enrolment(EnrolmentSession(stream))),
        Some(ALPN_RENEW) => Ok(Accepted::Renewal(RenewalSession(stream))),
        Some(ALPN_FOLLOW) => Ok(Accepted::Follower(FollowerSession(stream))),
        _ => Err(plain::refuse_bare(stream).await),
    }
}

const JOIN_HINT: &str = "Connect through hrpyc-agent; an invite comes from your IT team.";

fn handshake_timeout() -> Denial {
    Denial::new(
        Code::HandshakeTimeout,
        "The TLS handshake did not finish in time.",
        "Check the network between the two machines.",
    )
}

fn aborted() -> Denial {
    Denial::new(
        Code::HandshakeAborted,
        "The connection was closed before the TLS handshake was done.",
        "A port scan or a health check does this; an artist's agent names its own reason.",
    )
}

/// Turns a failed handshake into a denial. The peer sees the alert that belongs to it.
fn explain(error: &std::io::Error) -> Denial {
    let Some(tls) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
    else {
        return aborted();
    };
    match tls {
        Error::NoCertificatesPresented => Denial::new(
            Code::CertificateMissing,
            "The client presented no certificate.",
            JOIN_HINT,
        ),
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => Denial::new(
            Code::AuthorityUnknown,
            "The client's certificate was not issued by this guard's authority.",
            "The artist must join with an invite of this guard's authority.",
        ),
        Error::InvalidCertificate(CertificateError::InvalidPurpose) => Denial::new(
            Code::CertificateUsage,
            "The client's certificate is for another use than showing who an artist or a guard is.",
            "Join anew with a fresh invite.",
        ),
        Error::InvalidCertificate(problem) => Denial::new(
            Code::CertificateInvalid,
            format!("The client's certificate or its proof of the key is not valid: {problem}."),
            "Join anew with a fresh invite.",
        ),
        Error::NoApplicationProtocol => Denial::new(
            Code::ProtocolMissing,
            "The client speaks TLS, and none of this guard's protocols.",
            JOIN_HINT,
        ),
        Error::AlertReceived(alert) => Denial::new(
            Code::HandshakeAborted,
            format!("The client ended the handshake with the alert {alert:?}."),
            "Its own log says why; it may not trust this guard's certificate.",
        ),
        other => Denial::new(
            Code::HandshakeFailed,
            format!("The TLS handshake failed: {other}."),
            "TLS 1.3 is needed; update the client.",
        ),
    }
}

/// Ends a refused TCP connection so that what was said arrives: FIN, then a bounded drain.
pub async fn linger(mut tcp: impl AsyncRead + AsyncWrite + Unpin) {
    let drain = async {
        tcp.shutdown().await?;
        tokio::io::copy(&mut (&mut tcp).take(DRAIN_BYTES), &mut tokio::io::sink()).await
    };
    let _ = timeout(DRAIN_TIME, drain).await;
}

/// Ends a TLS connection so that what was said arrives: close_notify, then a bounded drain.
pub async fn close(stream: &mut TlsStream<PeerStream>) {
    let drain = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(DRAIN_BYTES), &mut tokio::io::sink()).await
    };
    let _ = timeout(DRAIN_TIME, drain).await;
}
