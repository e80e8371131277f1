//! The TLS handshake, and what comes instead of one.
//!
//! A handshake proves that the peer holds the key of a certificate that the authority
//! signed. Dates, name, use and revocation are looked at afterwards in
//! [`crate::identity`], on every session: rustls restores the client's certificate from a
//! resumption ticket without looking at it again, and a check behind the handshake can
//! answer with a sentence where the handshake has only an alert.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, HandshakeKind, ServerConfig,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use wire::Code;
use wire::tls::{ALPN_ENROL, ALPN_FOLLOW, ALPN_RENEW, ALPN_SESSION, provider};

use crate::denial::Denial;

/// What may still be read from a peer that was refused, so that its unread bytes do not
/// turn the refusal into a reset.
const DRAIN_BYTES: u64 = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// How long a client without TLS may take to show what it is, and to take its answer.
const PLAIN_TIME: Duration = Duration::from_secs(2);

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
pub struct TlsSession(TlsStream<TcpStream>);

/// As [`TlsSession`], of the renewal protocol.
#[derive(Debug)]
pub struct RenewalSession(TlsStream<TcpStream>);

/// As [`TlsSession`], of the protocol in which guards follow the authority.
#[derive(Debug)]
pub struct FollowerSession(TlsStream<TcpStream>);

/// A TLS stream of the enrolment protocol. Its peer has proved nothing.
#[derive(Debug)]
pub struct EnrolmentSession(TlsStream<TcpStream>);

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
            pub fn stream(&mut self) -> &mut TlsStream<TcpStream> {
                &mut self.0
            }
        }
    )*};
}
mutual_session!(TlsSession RenewalSession FollowerSession);

impl EnrolmentSession {
    /// The stream itself.
    pub fn stream(&mut self) -> &mut TlsStream<TcpStream> {
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

/// Does the handshake. When it fails, the peer has been told as far as it can be told.
///
/// # Errors
/// A [`Denial`] of the stage `tls`.
pub async fn accept(
    tcp: TcpStream,
    settings: &TlsSettings,
    deadline: Instant,
) -> Result<Accepted, Denial> {
    let mut first = [0];
    match timeout_at(deadline, tcp.peek(&mut first)).await {
        Err(_) => return Err(handshake_timeout()),
        Ok(Ok(0) | Err(_)) => return Err(aborted()),
        Ok(Ok(_)) if first[0] != TLS_HANDSHAKE_RECORD => return Err(refuse_plain(tcp).await),
        Ok(Ok(_)) => {}
    }
    match timeout_at(deadline, handshake(tcp, settings)).await {
        Ok(result) => result,
        Err(_) => Err(handshake_timeout()),
    }
}

async fn handshake(tcp: TcpStream, settings: &TlsSettings) -> Result<Accepted, Denial> {
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
        _ => Err(refuse_bare(stream).await),
    }
}

/// Verifies that `authority` itself signed the certificate, for whatever use and date. What
/// else the peer sent along is not looked at: the authority has no others sign for it.
///
/// # Errors
/// [`CertificateError`] when it did not.
pub fn verify_chain(
    leaf: &CertificateDer<'_>,
    authority: &CertificateDer<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), CertificateError> {
    let anchor = anchor_from_trusted_cert(authority).map_err(|_| CertificateError::BadEncoding)?;
    let certificate = EndEntityCert::try_from(leaf).map_err(|_| CertificateError::BadEncoding)?;
    let within = UnixTime::since_unix_epoch(middle_of_validity(leaf)?);
    let anchors = [anchor];
    let verify = |usage| {
        certificate
            .verify_for_usage(algorithms.all, &anchors, &[], within, usage, None, None)
            .map(|_| ())
    };
    let verified = match verify(KeyUsage::client_auth()) {
        // A guard's certificate, perhaps. Whether it may be used here is judged by its name.
        Err(webpki::Error::RequiredEkuNotFoundContext(_)) => verify(KeyUsage::server_auth()),
        other => other,
    };
    verified.map_err(|error| match error {
        webpki::Error::CaUsedAsEndEntity
        | webpki::Error::RequiredEkuNotFoundContext(_)
        | webpki::Error::EmptyEkuExtension => CertificateError::InvalidPurpose,
        _ => CertificateError::UnknownIssuer,
    })
}

/// A moment at which the certificate is valid: its dates are judged elsewhere.
fn middle_of_validity(leaf: &CertificateDer<'_>) -> Result<Duration, CertificateError> {
    let (_, certificate) =
        x509_parser::parse_x509_certificate(leaf).map_err(|_| CertificateError::BadEncoding)?;
    let validity = certificate.validity();
    let seconds = i64::midpoint(
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    );
    u64::try_from(seconds)
        .map(Duration::from_secs)
        .map_err(|_| CertificateError::BadEncoding)
}

/// The signature algorithms that certificates are checked with.
pub fn algorithms() -> WebPkiSupportedAlgorithms {
    provider().signature_verification_algorithms
}

#[derive(Debug)]
struct ChainVerifier {
    authority: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ChainVerifier {
    fn new(authority: CertificateDer<'static>) -> Self {
        Self {
            authority,
            algorithms: algorithms(),
        }
    }
}

impl ClientCertVerifier for ChainVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        verify_chain(end_entity, &self.authority, &self.algorithms)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(
            rustls::PeerIncompatible::Tls12NotOffered,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
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

/// Refuses a TLS client that offers no protocol, in its own terms.
async fn refuse_bare(mut stream: TlsStream<TcpStream>) -> Denial {
    let denial = Denial::new(
        Code::ProtocolMissing,
        "This TLS client names no protocol (ALPN), so it brings no token.",
        JOIN_HINT,
    );
    let mut seen = Vec::new();
    let spoken = recognise(&mut stream, &mut seen).await;
    let _ = timeout(PLAIN_TIME, answer(&mut stream, spoken, &seen, &denial)).await;
    close(&mut stream).await;
    denial
}

/// Refuses a client that does not begin with TLS, in its own terms.
async fn refuse_plain(mut tcp: TcpStream) -> Denial {
    let mut seen = Vec::new();
    let spoken = recognise(&mut tcp, &mut seen).await;
    let (code, sentence) = match spoken {
        Spoken::Rpyc => (
            Code::PlainRpyc,
            "This port is guarded: plain rpyc is not let in, because it does not show who calls and anybody can listen in.",
        ),
        Spoken::Http => (
            Code::PlainHttp,
            "This port is a Houdini guard's, not a web server's.",
        ),
        Spoken::Other => (
            Code::NotTls,
            "The client does not speak TLS, nor anything known.",
        ),
    };
    let denial = Denial::new(code, sentence, JOIN_HINT);
    let _ = timeout(PLAIN_TIME, answer(&mut tcp, spoken, &seen, &denial)).await;
    linger(tcp).await;
    denial
}

/// What a client speaks where it should speak a protocol of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Rpyc,
    Http,
    Other,
}

/// Recognises a client by its first bytes.
async fn recognise(stream: &mut (impl AsyncRead + Unpin), seen: &mut Vec<u8>) -> Spoken {
    let deadline = Instant::now() + PLAIN_TIME;
    loop {
        match rpyc::sniff(seen) {
            rpyc::Sniff::NeedMore => {}
            rpyc::Sniff::Rpyc => return Spoken::Rpyc,
            rpyc::Sniff::Http => return Spoken::Http,
            _ => return Spoken::Other,
        }
        let mut more = [0; 512];
        match timeout_at(deadline, stream.read(&mut more)).await {
            Ok(Ok(count)) if count > 0 => seen.extend_from_slice(&more[..count]),
            _ => return Spoken::Other,
        }
    }
}

/// Says why in words that the client can show: an exception, a page, or a line of text.
async fn answer(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    spoken: Spoken,
    seen: &[u8],
    denial: &Denial,
) {
    let shown = denial.refusal().to_string();
    let text = match spoken {
        Spoken::Rpyc => return answer_rpyc(stream, seen, shown).await,
        Spoken::Http => {
            let head = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close";
            format!(
                "{head}\r\nContent-Length: {}\r\n\r\n{shown}\n",
                shown.len() + 1
            )
        }
        Spoken::Other => format!("{shown}\n"),
    };
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.flush().await;
}

/// Raises the refusal in an rpyc client until it has closed or has sent too much.
async fn answer_rpyc(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    seen: &[u8],
    sentence: String,
) {
    let mut refuser = rpyc::Refuser::new(rpyc::ExceptionClass::PermissionError, sentence);
    let mut chunk = seen.to_vec();
    let mut taken = 0;
    loop {
        let mut input = chunk.as_slice();
        loop {
            match refuser.feed(&mut input) {
                Ok(None) => break,
                Ok(Some(rpyc::Answer::Frame(frame))) => {
                    if stream.write_all(&frame).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
                Ok(Some(rpyc::Answer::Close)) | Err(_) => return,
            }
        }
        taken += chunk.len() as u64;
        chunk.resize(4096, 0);
        match stream.read(&mut chunk).await {
            Ok(count) if count > 0 && taken < DRAIN_BYTES => chunk.truncate(count),
            _ => return,
        }
    }
}

/// Ends a refused TCP connection so that what was said arrives: FIN, then a bounded drain.
pub async fn linger(mut tcp: TcpStream) {
    let drain = async {
        tcp.shutdown().await?;
        tokio::io::copy(&mut (&mut tcp).take(DRAIN_BYTES), &mut tokio::io::sink()).await
    };
    let _ = timeout(DRAIN_TIME, drain).await;
}

/// Ends a refused TLS connection so that what was said arrives: close_notify, then a
/// bounded drain.
pub async fn close(stream: &mut TlsStream<TcpStream>) {
    let drain = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(DRAIN_BYTES), &mut tokio::io::sink()).await
    };
    let _ = timeout(DRAIN_TIME, drain).await;
}
