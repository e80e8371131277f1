//! The client end of one connection.

use std::io::{self, BufReader, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rpyc::Kind;
use rpyc::brine::Value;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};
use wire::hello::Verdict;

use crate::frames::{self, Intake};
use crate::material::SERVER;

/// Anything that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is read of TLS at a time, at most; rustls by itself asks for 4 KiB.
const AHEAD: usize = 64 * 1024;

/// How a way is entered.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// With what, when it is not bare TCP.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// What the guard is told first.
    pub(crate) hello: Option<Arc<[u8]>>,
}

impl Entry {
    /// With bare TCP.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            tls: None,
            hello: None,
        }
    }

    /// With TLS.
    pub(crate) fn tls(address: SocketAddr, config: ClientConfig) -> Self {
        Self {
            address,
            tls: Some(Arc::new(config)),
            hello: None,
        }
    }
}

/// A connection that has had its first answer.
#[derive(Debug)]
pub(crate) struct Session {
    stream: Stream,
    intake: Intake,
    seq: u64,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, Ahead>>),
}

/// A TCP connection of which more is read than is asked for.
#[derive(Debug)]
struct Ahead(BufReader<TcpStream>);

impl Session {
    /// Connects, asks for the root, and waits for the answer.
    ///
    /// # Errors
    /// Those of the connection.
    ///
    /// # Panics
    /// When what comes is no answer, or a refusal of the guard.
    pub(crate) fn open(entry: &Entry) -> io::Result<Self> {
        let tcp = TcpStream::connect(entry.address)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let stream = match &entry.tls {
            None => Stream::Plain(tcp),
            Some(config) => {
                let name = ServerName::try_from(SERVER).expect("a name");
                let tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
                let tcp = Ahead(BufReader::with_capacity(AHEAD, tcp));
                Stream::Tls(Box::new(StreamOwned::new(tls, tcp)))
            }
        };
        let mut session = Self {
            stream,
            intake: Intake::new(),
            seq: 0,
        };
        session.begin(entry.hello.as_deref())?;
        Ok(session)
    }

    /// Asks for the root right behind the hello, if there is one.
    fn begin(&mut self, hello: Option<&[u8]>) -> io::Result<()> {
        let seq = self.next();
        let mut first = hello.unwrap_or_default().to_vec();
        first.extend(frames::get_root(seq));
        self.send(&first)?;
        if hello.is_some() {
            self.verdict()?;
        }
        self.answered(seq)
    }

    fn verdict(&mut self) -> io::Result<()> {
        let head = self.intake.bytes(&mut self.stream, 8)?;
        assert_eq!(head[..3], *b"HRG", "the guard's verdict");
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let body = self.intake.bytes(&mut self.stream, length)?;
        match serde_json::from_slice(&body)? {
            Verdict::Accepted(_) => Ok(()),
            Verdict::Refused(refusal) => panic!("the guard refuses: {refusal:?}"),
        }
    }

    /// Gets hold of the methods that are called, as a script does.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) fn look_up(&mut self) -> io::Result<()> {
        for (target, name, method, argument) in [
            (frames::ROOT, "getmodule", frames::GETMODULE, "hou"),
            (frames::HOU, "node", frames::NODE, "/obj/sphere1"),
            (frames::SPHERE, "parm", frames::PARM, "scale"),
        ] {
            self.ask(|seq| frames::get_attribute(seq, target, name))?;
            let argument = Value::Str(argument);
            self.ask(|seq| frames::call(seq, method, Some(&argument)))?;
        }
        for name in ["set", "setPending", "rawValue"] {
            self.ask(|seq| frames::get_attribute(seq, frames::SCALE, name))?;
        }
        Ok(())
    }

    /// A small request and its answer.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) fn round_trip(&mut self) -> io::Result<()> {
        self.ask(frames::small_call)
    }

    /// Sends a large value, and does not wait for the answer.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) fn send_large(&mut self) -> io::Result<()> {
        let seq = self.next();
        let (before, behind) = frames::large_call(seq);
        frames::write_parts(&mut self.stream, [&before, &frames::BLOB, behind])?;
        self.stream.flush()
    }

    /// Asks for a large value, and does not wait for it.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) fn ask_large(&mut self) -> io::Result<()> {
        let seq = self.next();
        self.send(&frames::call(seq, frames::GIVE, None))
    }

    /// Waits for an answer, and says how long it was, in bytes.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) fn answer(&mut self) -> io::Result<usize> {
        let came = self.intake.frame(&mut self.stream)?;
        assert_eq!(came.head.kind, Kind::Reply, "an answer");
        Ok(came.length)
    }

    /// Whether TLS began with a ticket.
    pub(crate) fn resumed(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => false,
            Stream::Tls(tls) => tls.conn.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Says goodbye.
    pub(crate) fn close(mut self) {
        if let Stream::Tls(tls) = &mut self.stream {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
        let tcp = match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.sock.0.get_ref(),
        };
        let _ = tcp.shutdown(Shutdown::Write);
    }

    fn ask(&mut self, request: impl FnOnce(u64) -> Vec<u8>) -> io::Result<()> {
        let seq = self.next();
        self.send(&request(seq))?;
        self.answered(seq)
    }

    fn answered(&mut self, seq: u64) -> io::Result<()> {
        let came = self.intake.frame(&mut self.stream)?;
        assert_eq!(
            (came.head.kind, came.head.seq),
            (Kind::Reply, seq),
            "the answer"
        );
        Ok(())
    }

    fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buf),
            Self::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(buf),
            Self::Tls(tls) => tls.write(buf),
        }
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write_vectored(bufs),
            Self::Tls(tls) => tls.write_vectored(bufs),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Ahead {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_mut().write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}
