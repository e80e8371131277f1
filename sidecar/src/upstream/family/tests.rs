use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rpyc::Family::{Classic, Six};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;
use crate::upstream::Upstream;

/// Answers a probe, as a server of a family does.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    /// How many it may answer.
    awake: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(address: &str, family: Family) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let awake = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let (count, turns) = (asked.clone(), awake.clone());
        let task = tokio::spawn(async move {
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                let mut question = [0; 256];
                if tcp.read(&mut question).await.unwrap_or(0) == 0 {
                    continue;
                }
                count.fetch_add(1, Ordering::SeqCst);
                turns.acquire().await.unwrap().forget();
                let answer: &[u8] = match family {
                    Classic => b"\x12\x52\x50\x11\x51\x00",
                    Six => b"\x02\x11\x50\x11\x51\x00",
                };
                let _ = tcp.write_all(&rpyc::frame::encode(answer)).await;
            }
        });
        Self {
            address,
            asked,
            awake,
            task,
        }
    }

    fn houdini(&self) -> Houdini {
        let upstream = Upstream::parse(None, &self.address.to_string(), &[]).unwrap();
        upstream.choose(None).unwrap()
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Another one at the same address.
    async fn replaced(self, family: Family) -> Self {
        let address = self.address.to_string();
        self.task.abort();
        let _ = self.task.await;
        Self::start(&address, family).await
    }
}

async fn listener(houdini: &Houdini) -> Option<Listener> {
    let stream = connect_to_probe(houdini).await.unwrap();
    stream.listener(houdini).await
}

/// As a session finds it out.
async fn family(families: &Families, houdini: &Houdini) -> Option<Family> {
    let listener = listener(houdini).await;
    families.of(houdini, listener).await
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_houdini_is_asked_once_as_long_as_it_listens() {
    let families = Families::default();
    let server = Server::start("127.0.0.1:0", Classic).await;
    let houdini = server.houdini();
    for _ in 0..3 {
        assert_eq!(family(&families, &houdini).await, Some(Classic));
    }
    assert_eq!(server.asked(), 1);
    let server = server.replaced(Six).await;
    for _ in 0..3 {
        assert_eq!(family(&families, &houdini).await, Some(Six));
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_listener_that_cannot_be_told_is_asked_anew() {
    let families = Families::default();
    let server = Server::start("127.0.0.1:0", Classic).await;
    let houdini = server.houdini();
    assert_eq!(families.of(&houdini, None).await, Some(Classic));
    let server = server.replaced(Six).await;
    assert_eq!(families.of(&houdini, None).await, Some(Six));
    assert_eq!(families.of(&houdini, None).await, Some(Six));
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn those_who_wait_together_ask_once() {
    let families = Arc::new(Families::default());
    let server = Server::start("127.0.0.1:0", Six).await;
    server.awake.forget_permits(Semaphore::MAX_PERMITS);
    let houdini = server.houdini();
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let (families, houdini) = (families.clone(), houdini.clone());
            tokio::spawn(async move { families.of(&houdini, None).await })
        })
        .collect();
    while server.asked() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.awake.add_permits(1);
    for one in waiting {
        assert_eq!(one.await.unwrap(), Some(Six));
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn who_gives_up_leaves_the_question_to_the_next() {
    let families = Arc::new(Families::default());
    let server = Server::start("127.0.0.1:0", Six).await;
    server.awake.forget_permits(Semaphore::MAX_PERMITS);
    let houdini = server.houdini();
    let ask = || {
        let (families, houdini) = (families.clone(), houdini.clone());
        tokio::spawn(async move { families.of(&houdini, None).await })
    };
    let first = ask();
    while server.asked() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = ask();
    first.abort();
    server.awake.add_permits(2);
    assert_eq!(second.await.unwrap(), Some(Six));
    assert_eq!(server.asked(), 2);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_an_old_session_learned_is_not_believed_of_a_new_listener() {
    let families = Families::default();
    let server = Server::start("127.0.0.1:0", Classic).await;
    let houdini = server.houdini();
    let old = listener(&houdini).await;
    assert!(old.is_some());
    let _server = server.replaced(Six).await;
    assert_eq!(family(&families, &houdini).await, Some(Six));
    families.learn(&houdini, old, Classic);
    assert_eq!(family(&families, &houdini).await, Some(Six));
    // Of the one that listens it is.
    families.learn(&houdini, listener(&houdini).await, Classic);
    assert_eq!(family(&families, &houdini).await, Some(Classic));
}

#[cfg(unix)]
#[tokio::test]
async fn another_socket_file_is_another_listener() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("houdini.sock");
    let text = format!("unix:{}", path.display());
    let houdini = Upstream::parse(None, &text, &[]).unwrap();
    let houdini = houdini.choose(None).unwrap();
    let server = tokio::net::UnixListener::bind(&path).unwrap();
    let first = listener(&houdini).await;
    assert!(first.is_some());
    assert_eq!(listener(&houdini).await, first);
    drop(server);
    std::fs::remove_file(&path).unwrap();
    let _server = tokio::net::UnixListener::bind(&path).unwrap();
    let second = listener(&houdini).await;
    assert!(second.is_some());
    assert_ne!(second, first);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_listens_at_all_addresses_is_told_at_each() {
    for (bound, meant) in [
        ("0.0.0.0:0", "127.0.0.1"),
        ("[::]:0", "127.0.0.1"),
        ("[::]:0", "[::1]"),
        ("[::1]:0", "[::1]"),
    ] {
        let server = TcpListener::bind(bound).await.unwrap();
        let port = server.local_addr().unwrap().port();
        let houdini = Upstream::parse(None, &format!("{meant}:{port}"), &[]).unwrap();
        let houdini = houdini.choose(None).unwrap();
        let stream = connect_to_probe(&houdini).await.unwrap();
        let first = stream.listener(&houdini).await;
        assert!(first.is_some(), "{bound} {meant}");
        assert_eq!(listener(&houdini).await, first);
        drop(server);
        // Nobody: not the connection that is still there.
        assert_eq!(stream.listener(&houdini).await, None, "{bound} {meant}");
    }
}
