//! Clients that do not speak a protocol of ours, told so in their own.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::server::TlsStream;
use wire::Code;
use wire::peer::PeerStream;

use super::{DRAIN_BYTES, JOIN_HINT, close, linger};
use crate::denial::Denial;

/// How long a client may take to show what it is, and to take its answer.
const PLAIN_TIME: Duration = Duration::from_secs(2);

/// Refuses a TLS client that offers no protocol, in its own terms.
pub(super) async fn refuse_bare(mut stream: TlsStream<PeerStream>) -> Denial {
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
pub(super) async fn refuse_plain(mut tcp: TcpStream) -> Denial {
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
