//! A TCP stream that acknowledges what it receives as soon as it has gone on.
//!
//! rpyc sends small messages one after the other without `TCP_NODELAY`
//! (`core/stream.py::SocketStream._connect`, 4.1.0 to 6.0.2): the release of an object, and
//! behind it the next call. The sender's kernel holds the second back until the first is
//! acknowledged (RFC 896), and a receiver that has nothing to say puts that off for 40 ms (RFC
//! 1122, section 4.2.3.2). Whoever carries rpyc between two sockets must not.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The stream. What is sent is not held back either.
#[derive(Debug)]
pub struct Prompt {
    tcp: TcpStream,
    /// Something came that may not be acknowledged yet.
    owes: bool,
}

impl Prompt {
    /// Takes a connected stream over.
    ///
    /// # Errors
    /// When the connection has gone already.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            tcp: stream,
            owes: false,
        })
    }

    /// The stream itself, for its addresses.
    pub fn get_ref(&self) -> &TcpStream {
        &self.tcp
    }

    /// Linux goes back to putting it off by itself, so it is said after each receive.
    fn acknowledge(&mut self) {
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&self.tcp).set_tcp_quickack(true);
        self.owes = false;
    }
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        self.owes |= buf.filled().len() > before;
        // Whoever reads again has passed on what it had, which is not to wait for a packet that
        // carries nothing.
        if read.is_pending() && self.owes {
            self.acknowledge();
        }
        read
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
