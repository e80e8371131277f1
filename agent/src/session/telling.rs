//! Telling a local client what became of its connection.

use std::time::Duration;

use rpyc::{Answer, ExceptionClass, Refuser, exception_frame};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::relay::Orphan;

/// How long a client may take to go after the last word to it.
const DRAIN_TIME: Duration = Duration::from_secs(2);
const CHUNK: usize = 16 * 1024;

const HTTP_403: &str = "HTTP/1.1 403 Forbidden\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 55\r\n\
    Connection: close\r\n\
    \r\n\
    This is a port of hrpyc-agent. It serves rpyc clients.\n";

/// Answers what waits and everything that is asked from now on, until the client goes.
pub(super) async fn refuse_from_now_on<L>(orphan: Orphan<L>, class: ExceptionClass, text: &str)
where
    L: AsyncRead + AsyncWrite + Unpin,
{
    let mut local = orphan.local;
    for head in orphan.outstanding {
        let frame = exception_frame(head, class, text);
        if local.write_all(&frame).await.is_err() {
            return;
        }
    }
    let refuser = Refuser::from_observer(orphan.client, class, text);
    answer(local, refuser, &[]).await;
}

/// Answers what waits, and closes.
pub(super) async fn last_words<L>(orphan: Orphan<L>, class: ExceptionClass, text: &str)
where
    L: AsyncRead + AsyncWrite + Unpin,
{
    let mut local = orphan.local;
    for head in orphan.outstanding {
        let frame = exception_frame(head, class, text);
        if local.write_all(&frame).await.is_err() {
            return;
        }
    }
    close(&mut local).await;
}

/// Answers every request, beginning with those in `first`, until the client goes.
pub(super) async fn answer<L>(mut local: L, mut refuser: Refuser, first: &[u8])
where
    L: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = first.to_vec();
    loop {
        let mut input = buffer.as_slice();
        loop {
            match refuser.feed(&mut input) {
                Ok(Some(Answer::Frame(frame))) => {
                    if local.write_all(&frame).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Ok(Some(Answer::Close)) | Err(rpyc::NotRpyc) => return close(&mut local).await,
            }
        }
        buffer.clear();
        buffer.reserve(CHUNK);
        match local.read_buf(&mut buffer).await {
            Ok(count) if count > 0 => {}
            _ => return,
        }
    }
}

/// Says what a browser can show.
pub(super) async fn forbid_http<L>(local: &mut L)
where
    L: AsyncRead + AsyncWrite + Unpin,
{
    if local.write_all(HTTP_403.as_bytes()).await.is_ok() {
        close(local).await;
    }
}

/// Ends our direction and reads on for a moment: closing over unread bytes would reset the
/// connection, and the last word with it.
async fn close<L>(local: &mut L)
where
    L: AsyncRead + AsyncWrite + Unpin,
{
    let _ = timeout(DRAIN_TIME, async {
        local.shutdown().await?;
        tokio::io::copy(local, &mut tokio::io::sink()).await
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_http_answer_says_its_own_length() {
        let (head, body) = HTTP_403.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
