//! Reading more from a connection than is asked for.
//!
//! rustls asks for 4 KiB at a time, a quarter of a record, and each time is a system call.
//! What comes beyond is kept here until it is asked for.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

/// What is read at a time. Eight TLS records.
const CHUNK: usize = 128 * 1024;

thread_local! {
    /// Where the first read after a pause goes, so that small messages take no memory.
    static FIRST: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
}

/// What was read and not asked for yet. It has no memory while nothing comes.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    rest: BytesMut,
}

impl Ahead {
    /// Gives what is asked for. Errors and the end come when what came before them was given.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut (impl AsyncRead + Unpin),
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            let came = match self.rest.capacity() {
                0 => return self.begin(cx, source, buf),
                _ => {
                    // All of it was given, so this takes no memory anew.
                    self.rest.reserve(CHUNK);
                    poll_read_buf(Pin::new(source), cx, &mut self.rest)
                }
            };
            if came.is_pending() {
                self.rest = BytesMut::new();
            }
            ready!(came)?;
        }
        let count = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }

    /// Reads after a pause.
    fn begin(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut (impl AsyncRead + Unpin),
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        FIRST.with_borrow_mut(|first| {
            let mut first = ReadBuf::new(first);
            ready!(Pin::new(source).poll_read(cx, &mut first))?;
            let came = first.filled();
            let (now, later) = came.split_at(came.len().min(buf.remaining()));
            buf.put_slice(now);
            if !later.is_empty() {
                self.rest.reserve(CHUNK);
                self.rest.extend_from_slice(later);
            }
            Poll::Ready(Ok(()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// A source that is read ahead of, and breaks where the test wants it to.
    struct Eager {
        source: DuplexStream,
        breaks: bool,
        ahead: Ahead,
    }

    impl AsyncRead for Eager {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let Self {
                source,
                breaks,
                ahead,
            } = &mut *self;
            let mut source = Breaking(source, *breaks);
            ahead.poll_read(cx, &mut source, buf)
        }
    }

    struct Breaking<'a>(&'a mut DuplexStream, bool);

    impl AsyncRead for Breaking<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let before = buf.filled().len();
            ready!(Pin::new(&mut *self.0).poll_read(cx, buf))?;
            match buf.filled().len() == before && self.1 {
                true => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
                false => Poll::Ready(Ok(())),
            }
        }
    }

    fn eager(breaks: bool) -> (DuplexStream, Eager) {
        let (sink, source) = duplex(4 * CHUNK);
        let ahead = Ahead::default();
        (
            sink,
            Eager {
                source,
                breaks,
                ahead,
            },
        )
    }

    /// Runs both ends together.
    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn what_was_sent_is_given_whole_and_in_order(
            pieces in vec(prop_oneof![1..200_usize, 1..3 * CHUNK], 1..8),
            asked in prop_oneof![1..64_usize, Just(4096), 1..2 * CHUNK],
        ) {
            let whole: Vec<u8> = (0..pieces.iter().sum()).map(|n: usize| n as u8).collect();
            let (mut sink, mut source) = eager(false);
            let sending = async {
                let mut rest = &whole[..];
                for piece in &pieces {
                    let (now, later) = rest.split_at(*piece);
                    sink.write_all(now).await.unwrap();
                    tokio::task::yield_now().await;
                    rest = later;
                }
                drop(sink);
            };
            let mut got = Vec::new();
            let receiving = async {
                let mut buf = vec![0; asked];
                loop {
                    match source.read(&mut buf).await.unwrap() {
                        0 => return,
                        count => got.extend_from_slice(&buf[..count]),
                    }
                }
            };
            run(async { tokio::join!(sending, receiving) });
            prop_assert_eq!(got, whole);
        }
    }

    #[test]
    fn an_error_comes_behind_what_came_before_it() {
        let (mut sink, mut source) = eager(true);
        run(async {
            sink.write_all(&[7; 10_000]).await.unwrap();
            drop(sink);
            let mut buf = [0; 4096];
            let mut got = 0;
            let error = loop {
                match source.read(&mut buf).await {
                    Ok(count) => got += count,
                    Err(error) => break error,
                }
            };
            assert_eq!((got, error.kind()), (10_000, ErrorKind::ConnectionReset));
        });
    }

    #[test]
    fn no_memory_is_held_while_nothing_comes() {
        let (mut sink, mut source) = eager(false);
        run(async {
            let mut buf = [0; 4096];
            for size in [100, 4096, 100_000] {
                sink.write_all(&vec![7; size]).await.unwrap();
                source.read_exact(&mut vec![0; size]).await.unwrap();
                tokio::select! {
                    biased;
                    _ = source.read(&mut buf) => panic!("nothing was sent"),
                    () = std::future::ready(()) => {}
                }
                assert_eq!(source.ahead.rest.capacity(), 0, "after {size} bytes");
            }
        });
    }
}
