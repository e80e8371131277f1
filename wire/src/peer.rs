//! A TCP connection that ends when the machine at its other end has vanished, and not before.
//!
//! A laptop that is closed or a network that is cut says no goodbye. An idle connection is
//! therefore probed, and one on which sent bytes stay without acknowledgement is given up.
//!
//! The kernel counts a peer that is there and takes nothing (a Houdini that cooks, a script
//! that was stopped) like one that has vanished: `TCP_USER_TIMEOUT` ends both. So while a
//! peer has no room but says so when asked, its time is prolonged.

mod ahead;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use ahead::Ahead;

/// A TCP stream to a peer that may vanish.
#[derive(Debug)]
pub struct PeerStream {
    tcp: TcpStream,
    /// Once it is read ahead.
    ahead: Option<Ahead>,
    #[cfg(target_os = "linux")]
    room: room::Watch,
}

impl PeerStream {
    /// Sends small messages at once, and breaks when nothing was heard of the peer for
    /// `limit` while something should have been: within `limit` and a few seconds. Counts in
    /// whole seconds, 4 at least.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn new(tcp: TcpStream, limit: Duration) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let second = Duration::from_secs(1);
        // Asked after half of the limit, and twice more.
        let keepalive = TcpKeepalive::new()
            .with_time((limit / 2).max(second))
            .with_interval((limit / 4).max(second))
            .with_retries(2);
        let socket = SockRef::from(&tcp);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(limit))?;
        Ok(Self {
            tcp,
            ahead: None,
            #[cfg(target_os = "linux")]
            room: room::Watch::new(limit),
        })
    }

    /// The stream itself.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// From now on more may be read than is asked for, which spares system calls and may take
    /// some memory while bytes flow: for peers that have shown who they are.
    pub fn read_ahead(&mut self) {
        self.ahead.get_or_insert_default();
    }

    /// Something was written, or could not be.
    fn wrote(&mut self, cx: &mut Context<'_>, pending: bool) {
        #[cfg(target_os = "linux")]
        {
            self.room.begin();
            if pending {
                self.room.poll(cx, &self.tcp);
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (cx, pending);
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { tcp, ahead, .. } = &mut *self;
        let read = match ahead {
            Some(ahead) => ahead.poll_read(cx, tcp, buf),
            None => Pin::new(tcp).poll_read(cx, buf),
        };
        #[cfg(target_os = "linux")]
        if read.is_pending() {
            let this = &mut *self;
            this.room.poll(cx, &this.tcp);
        }
        read
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.wrote(cx, written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.wrote(cx, written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(target_os = "linux")]
mod room {
    //! Telling a peer that has no room from one that has vanished.

    use std::pin::Pin;
    use std::task::Context;
    use std::time::Duration;

    use socket2::SockRef;
    use tokio::net::TcpStream;
    use tokio::time::{Instant, Sleep, sleep};

    use crate::sock_diag::{self, Socket, Timer};

    /// Looks at a socket for as long as something that was sent may be on its way: four
    /// times within the limit, so that the kernel is told in time.
    #[derive(Debug)]
    pub(super) struct Watch {
        limit: Duration,
        next: Option<Pin<Box<Sleep>>>,
        /// Since when the peer has had no room, or a little longer.
        since: Instant,
        prolonged: bool,
        unable: bool,
    }

    impl Watch {
        pub(super) fn new(limit: Duration) -> Self {
            Self {
                limit,
                next: None,
                since: Instant::now(),
                prolonged: false,
                unable: false,
            }
        }

        /// Something is on its way.
        pub(super) fn begin(&mut self) {
            if self.next.is_none() && !self.unable {
                self.since = Instant::now();
                self.next = Some(Box::pin(sleep(self.limit / 4)));
            }
        }

        /// Looks when it is time, and asks to be polled when it is time again.
        pub(super) fn poll(&mut self, cx: &mut Context<'_>, tcp: &TcpStream) {
            while let Some(next) = &mut self.next
                && next.as_mut().poll(cx).is_ready()
            {
                match look(tcp) {
                    Ok(Some(socket)) => self.judge(&socket, tcp),
                    // The connection has gone.
                    Ok(None) => self.next = None,
                    Err(error) => {
                        tracing::debug!(%error, "a socket cannot be asked for: a peer that takes nothing counts as vanished");
                        (self.next, self.unable) = (None, true);
                    }
                }
                if let Some(next) = &mut self.next {
                    next.as_mut().reset(Instant::now() + self.limit / 4);
                }
            }
        }

        fn judge(&mut self, socket: &Socket, tcp: &TcpStream) {
            if socket.timer == Timer::Room {
                if socket.unanswered == 0 {
                    // The kernel counts from when the room ended.
                    self.set_limit(tcp, self.since.elapsed() + self.limit);
                    self.prolonged = true;
                }
                return;
            }
            self.since = Instant::now();
            if std::mem::take(&mut self.prolonged) {
                self.set_limit(tcp, self.limit);
            }
            if socket.timer == Timer::Other {
                // All has arrived; with the next write it begins anew.
                self.next = None;
            }
        }

        fn set_limit(&self, tcp: &TcpStream, limit: Duration) {
            if let Err(error) = SockRef::from(tcp).set_tcp_user_timeout(Some(limit)) {
                tracing::debug!(%error, "the time of a peer cannot be set");
            }
        }
    }

    fn look(tcp: &TcpStream) -> std::io::Result<Option<Socket>> {
        sock_diag::find(tcp.local_addr()?, tcp.peer_addr()?)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// Far more than the kernel keeps for a peer that does not read.
    const SIZE: usize = 32 << 20;
    const LIMIT: Duration = Duration::from_secs(2);
    const STALL: Duration = Duration::from_secs(8);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    /// Sends to a peer that begins to read only after [`STALL`].
    async fn send(mut client: impl AsyncWrite + Unpin, mut server: TcpStream) -> io::Result<usize> {
        let sending = async {
            client.write_all(&vec![7; SIZE]).await?;
            client.shutdown().await
        };
        let receiving = async {
            tokio::time::sleep(STALL).await;
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.map(|_| all.len())
        };
        let (sent, received) = timeout(Duration::from_secs(30), async {
            tokio::join!(sending, receiving)
        })
        .await
        .unwrap();
        sent.and(received)
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_for_a_while_has_not_vanished() {
        let (client, server) = pair().await;
        let sent = send(PeerStream::new(client, LIMIT).unwrap(), server).await;
        assert_eq!(sent.unwrap(), SIZE);
    }

    #[tokio::test]
    async fn the_kernel_alone_would_take_it_for_vanished() {
        let (client, server) = pair().await;
        SockRef::from(&client)
            .set_tcp_user_timeout(Some(LIMIT))
            .unwrap();
        assert!(send(client, server).await.is_err());
    }
}
