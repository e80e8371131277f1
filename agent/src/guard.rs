//! Talking to a guard: TCP, TLS, one request and its answer.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWrite;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wire::enrolment::{Reply, exchange};
use wire::message::Message;
use wire::peer::PeerStream;

use crate::fault::{Cause, Fault};
use crate::profile::Guard;

/// A connection to a guard.
pub type GuardStream = TlsStream<PeerStream>;

/// How long one address may take to accept a TCP connection.
pub const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long the TLS handshake may take.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// How long a guard may take to answer a message. Dialling a busy Houdini is part of it.
pub const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How long a goodbye may take.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// The start of the next address of a name before the last one has failed (RFC 8305,
/// section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// A guard's machine that was not heard of for this long has vanished. A call that waits is
/// told so, and why, before rpyc gives up by itself after 30 seconds.
const VANISHED_AFTER: Duration = Duration::from_secs(20);

/// Connects to a guard, one address after the other, and does the TLS handshake.
///
/// # Errors
/// [`Fault`] of the address that was tried last, or of the first one that was reached and
/// is not the guard: what poses as a guard is told, not stepped over.
pub async fn dial(guard: &Guard, config: ClientConfig) -> Result<GuardStream, Fault> {
    let fault = |address: &str, cause| Fault {
        guard: guard.name().clone(),
        address: address.into(),
        cause,
    };
    let config = Arc::new(config);
    let mut last = Cause::Resolve(io::Error::other("the profile has no address for it"));
    let mut last_address = "";
    for address in &guard.addresses {
        last_address = address;
        match connect(address).await {
            Ok(tcp) => {
                let tls = handshake(tcp, config).await;
                return tls.map_err(|cause| fault(address, cause));
            }
            Err(cause) => last = cause,
        }
    }
    Err(fault(last_address, last))
}

/// Asks for something and reads the reply.
///
/// # Errors
/// [`Fault`] when no reply came.
pub async fn ask<M: Message>(
    guard: &Guard,
    config: ClientConfig,
    request: &M,
) -> Result<Reply, Fault> {
    let mut stream = dial(guard, config).await?;
    let fault = |cause| Fault {
        guard: guard.name().clone(),
        address: guard.addresses.first().cloned().unwrap_or_default(),
        cause,
    };
    let reply = timeout(ANSWER_TIME, exchange(&mut stream, request))
        .await
        .map_err(|_| fault(Cause::AnswerTimeout(ANSWER_TIME)))?
        .map_err(|error| fault(Cause::of_answer(error)))?;
    close(&mut stream).await;
    Ok(reply)
}

/// Says goodbye. Best effort: whoever closes has what it wanted.
pub async fn close(stream: &mut (impl AsyncWrite + Unpin)) {
    let goodbye = poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx));
    let _ = timeout(CLOSE_TIME, goodbye).await;
}

/// A TCP connection to the first of the name's addresses that answers.
pub(crate) async fn connect(address: &str) -> Result<PeerStream, Cause> {
    let mut addresses = resolve(address).await?.into_iter();
    let mut attempts = JoinSet::new();
    let mut last = Cause::Resolve(io::Error::other("it has no address"));
    loop {
        let next = addresses.next();
        let more = next.is_some();
        if let Some(address) = next {
            attempts.spawn(connect_one(address));
        }
        let result = tokio::select! {
            result = attempts.join_next() => result,
            () = sleep(HEAD_START), if more => continue,
        };
        match result {
            None => return Err(last),
            Some(Ok(Ok(tcp))) => return Ok(tcp),
            Some(Ok(Err(cause))) => last = cause,
            Some(Err(error)) => last = Cause::Other(error.into()),
        }
    }
}

/// All addresses of `HOST:PORT`.
pub(crate) async fn resolve(address: &str) -> Result<Vec<SocketAddr>, Cause> {
    match timeout(CONNECT_TIME, lookup_host(address)).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => Err(Cause::Resolve(error)),
        Err(_) => Err(Cause::Resolve(io::ErrorKind::TimedOut.into())),
    }
}

async fn connect_one(address: SocketAddr) -> Result<PeerStream, Cause> {
    let tcp = timeout(CONNECT_TIME, TcpStream::connect(address))
        .await
        .map_err(|_| Cause::ConnectTimeout(CONNECT_TIME))?
        .map_err(Cause::Connect)?;
    PeerStream::new(tcp, VANISHED_AFTER).map_err(Cause::Other)
}

async fn handshake(tcp: PeerStream, config: Arc<ClientConfig>) -> Result<GuardStream, Cause> {
    let wanted = config.alpn_protocols.clone();
    // A guard is known by its SPIFFE ID, so that no host name is sent.
    let name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    let stream = timeout(
        HANDSHAKE_TIME,
        TlsConnector::from(config).connect(name, tcp),
    )
    .await
    .map_err(|_| Cause::HandshakeTimeout(HANDSHAKE_TIME))?
    .map_err(Cause::of_handshake)?;
    // A TLS server that knows no ALPN answers without one.
    let agreed = stream.get_ref().1.alpn_protocol();
    if wanted.iter().any(|alpn| Some(alpn.as_slice()) == agreed) {
        Ok(stream)
    } else {
        Err(Cause::NoProtocol)
    }
}
