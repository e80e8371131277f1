//! An upstream of another user: a program that sits on Houdini's port.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use crate::programs::{Running, Stream};

/// The user that it runs as: `nobody`, as a number.
pub const UID: &str = "65534";

/// Echoes to one connection after the other, and prints what each of them said.
const LISTENER: &str = r"
import socket
listener = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % listener.getsockname()[1], flush=True)
while True:
    peer, _ = listener.accept()
    peer.settimeout(25)
    heard = b''
    try:
        while True:
            more = peer.recv(65536)
            if not more:
                break
            heard += more
            peer.sendall(more)
    except OSError:
        pass
    print('heard', len(heard), 'bytes', heard.hex(), flush=True)
    peer.close()
";

/// What [`Foreign::heard`] says itself, with a moment behind it.
const MARK: &str = "mark ";

/// A listener of the user [`UID`]. Only root can start one.
#[derive(Debug)]
pub struct Foreign {
    process: Running,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Foreign {
    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start() -> Self {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", UID, "--regid", UID, "--clear-groups", "--"])
            .args(["python3", "-c", LISTENER])
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .current_dir("/");
        let process = Running::start(&mut command).unwrap_or_else(|e| panic!("{e}"));
        let line = process
            .wait_for_line(Stream::Out, "listening on ")
            .unwrap_or_else(|e| panic!("{e}"));
        let address = line.trim_start_matches("listening on ");
        Self {
            address: address.parse().expect("an address"),
            process,
        }
    }

    /// What each connection said up to now, one line for each.
    ///
    /// # Panics
    /// When it no longer listens.
    pub fn heard(&self) -> Vec<String> {
        // It serves in turn, so whoever came before this one is done when this one is.
        let mark = format!("{MARK}{:?}", std::time::Instant::now());
        let mut tcp = TcpStream::connect(self.address).expect("it listens");
        tcp.write_all(mark.as_bytes()).expect("it reads");
        drop(tcp);
        let mark = wire::hex(mark.as_bytes());
        self.process
            .wait_for_line(Stream::Out, &mark)
            .unwrap_or_else(|e| panic!("{e}"));
        let mut lines = self.process.lines(Stream::Out);
        let marks = wire::hex(MARK.as_bytes());
        lines.retain(|line| line.starts_with("heard ") && !line.contains(&marks));
        lines
    }
}
