//! A realm with a guard, a Houdini, a joined profile and a served local port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hrpyc_agent::join::join;
use hrpyc_agent::local::{self, Admit};
use hrpyc_agent::profile::{Profile, Profiles, Route};
use hrpyc_agent::standing::Standing;
use rpyc::reverse::Reverse;
use rpyc::{Head, Kind, Observer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wire::Secret;
use wire::invite::Invite;

use crate::guard::Guard;
use crate::realm::Realm;

/// Nothing here takes so long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) realm: Arc<Realm>,
    pub(crate) guard: Guard,
    pub(crate) houdini: TcpListener,
}

impl World {
    pub(crate) async fn new() -> Self {
        let realm = Arc::new(Realm::new("studio.example"));
        let guard = Guard::start(&realm, "ws12").await;
        let houdini = TcpListener::bind("127.0.0.1:0").await.unwrap();
        *guard.state.upstream.lock().unwrap() = Some(houdini.local_addr().unwrap());
        Self {
            folder: tempfile::tempdir().unwrap(),
            realm,
            guard,
            houdini,
        }
    }

    pub(crate) fn profiles(&self) -> Profiles {
        Profiles::at(self.folder.path().join("config"))
    }

    pub(crate) fn invite(&self) -> Invite {
        invite(&self.realm, &self.guard)
    }

    pub(crate) async fn join(&self) -> Profile {
        self.join_with(Reverse::Guarded).await
    }

    pub(crate) async fn join_with(&self, reverse: Reverse) -> Profile {
        join(&self.profiles(), &self.invite(), None, reverse)
            .await
            .unwrap()
    }

    pub(crate) fn route(&self) -> Route {
        self.profiles().route(None, None, "test 1").unwrap()
    }

    /// Joins, and serves a local port for as long as the test runs.
    pub(crate) async fn serve(&self) -> SocketAddr {
        self.join().await;
        serve(self.route())
    }

    /// The same, where nobody looks at what is sent.
    pub(crate) async fn serve_open(&self) -> SocketAddr {
        self.join_with(Reverse::Open).await;
        serve(self.route())
    }

    /// The next connection that reaches Houdini.
    pub(crate) async fn houdini(&self) -> TcpStream {
        timeout(PATIENCE, self.houdini.accept())
            .await
            .unwrap()
            .unwrap()
            .0
    }

    /// A client, and Houdini's end of its session, after one request went up.
    pub(crate) async fn session(&self, port: SocketAddr) -> (Client, TcpStream) {
        let mut client = Client::connect(port).await;
        client.ask(0).await;
        let mut houdini = self.houdini().await;
        let mut got = vec![0; request(0).len()];
        houdini.read_exact(&mut got).await.unwrap();
        assert_eq!(got, request(0));
        (client, houdini)
    }
}

pub(crate) fn invite(realm: &Realm, guard: &Guard) -> Invite {
    Invite {
        address: guard.address.to_string(),
        guard: guard.state.identity.clone(),
        authority: realm.fingerprint(),
        secret: Secret::new([9; 16]),
    }
}

pub(crate) fn serve(route: Route) -> SocketAddr {
    let listener = local::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let standing = Arc::new(Standing::new(route));
    tokio::spawn(local::serve(
        listener,
        standing,
        Admit::SameUser,
        CancellationToken::new(),
    ));
    address
}

/// `GETROOT`, as rpyc 3.x to 5.x ask for it.
pub(crate) fn request(seq: u8) -> Vec<u8> {
    rpyc::frame::encode(&[0x12, 0x51, 0x50 + seq, 0x11, 0x53, 0x11, 0x51, 0x02])
}

/// What a client sends when it closes.
pub(crate) fn close(seq: u8) -> Vec<u8> {
    rpyc::frame::encode(&[0x12, 0x51, 0x50 + seq, 0x11, 0x52, 0x11, 0x51, 0x02])
}

/// An answer with the value None.
pub(crate) fn reply(seq: u8) -> Vec<u8> {
    rpyc::frame::encode(&[0x12, 0x52, 0x50 + seq, 0x11, 0x51, 0x00])
}

/// A client of the local port.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    observer: Observer,
    read: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(port: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(port).await.unwrap(),
            observer: Observer::new(),
            read: Vec::new(),
        }
    }

    pub(crate) async fn ask(&mut self, seq: u8) {
        self.stream.write_all(&request(seq)).await.unwrap();
    }

    /// The next answer, and all bytes of its frame as text.
    pub(crate) async fn answer(&mut self) -> (Head, String) {
        timeout(PATIENCE, async {
            loop {
                let mut byte = [0];
                assert_eq!(self.stream.read(&mut byte).await.unwrap(), 1, "the end");
                self.read.push(byte[0]);
                let mut head = None;
                self.observer.observe(&byte, |h| head = Some(h));
                if let Some(head) = head {
                    while !self.observer.at_boundary() {
                        self.stream.read_exact(&mut byte).await.unwrap();
                        self.read.push(byte[0]);
                        self.observer.observe(&byte, |_| {});
                    }
                    let text = String::from_utf8_lossy(&self.read).into_owned();
                    self.read.clear();
                    return (head, text);
                }
            }
        })
        .await
        .unwrap()
    }

    /// The exception that answers `seq`: class, and text.
    pub(crate) async fn exception(&mut self, seq: u8) -> String {
        let (head, text) = self.answer().await;
        assert_eq!((head.kind, head.seq), (Kind::Exception, u64::from(seq)));
        text
    }

    pub(crate) async fn end(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        timeout(PATIENCE, self.stream.read_to_end(&mut rest))
            .await
            .unwrap()
            .unwrap();
        rest
    }
}

/// Waits until something is true.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} did not come true");
}
