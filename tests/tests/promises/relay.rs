//! The relay: the bytes that went in come out, however they were cut, in both directions,
//! also when one side has ended its half.

use std::collections::HashMap;
use std::io::Read as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::forge::client::{Client, hello};
use e2e::forge::enrol::{Member, join};
use e2e::forge::upstream::Upstream;
use e2e::programs::{DEADLINE, Guard, Trial, poll};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use wire::hello::Verdict;
use wire::message;

/// What one side sends: pieces with a pause behind each.
type Pieces = Vec<(Vec<u8>, u8)>;

#[derive(Debug, Clone, Copy, PartialEq)]
enum First {
    Client,
    Upstream,
    Neither,
}

#[derive(Debug, Clone)]
struct Case {
    up: Pieces,
    down: Pieces,
    /// Who ends its half first.
    first: First,
    /// What the other side sends when it has seen that end.
    after: Vec<u8>,
}

fn pieces() -> impl Strategy<Value = Pieces> {
    let size = prop_oneof![
        0..4usize,
        4..3000usize,
        16_000..17_000usize,
        60_000..140_000usize
    ];
    let piece = (size, any::<u8>()).prop_map(|(size, seed)| {
        (0..size)
            .map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed))
            .collect::<Vec<u8>>()
    });
    proptest::collection::vec((piece, 0..4u8), 0..8)
}

fn case() -> impl Strategy<Value = Case> {
    let first = prop_oneof![
        Just(First::Client),
        Just(First::Upstream),
        Just(First::Neither)
    ];
    let after = proptest::collection::vec(any::<u8>(), 0..2000);
    (pieces(), pieces(), first, after).prop_map(|(up, down, first, after)| Case {
        up,
        down,
        first,
        after,
    })
}

/// One guard in front of an upstream that hands each connection to its test.
struct Bench {
    _guard: Guard,
    _trial: Trial,
    client: Client,
    alice: Member,
    waiting: Arc<Mutex<HashMap<u64, TcpStream>>>,
    next: AtomicU64,
}

impl Bench {
    async fn start() -> Self {
        let waiting: Arc<Mutex<HashMap<u64, TcpStream>>> = Arc::default();
        let hall = waiting.clone();
        let upstream = Upstream::serving(move |mut tcp| {
            let mut ticket = [0; 16];
            if tcp.read_exact(&mut ticket).is_ok() && ticket[..8] == *b"e2e-case" {
                let id = u64::from_be_bytes(ticket[8..].try_into().unwrap());
                hall.lock().unwrap().insert(id, tcp);
            }
        });
        let trial = Trial::opaque().unwrap();
        let guard = trial
            .start_guard(&upstream.address().to_string(), &[])
            .unwrap();
        let code = trial.invite(guard.address, "alice", &[]).unwrap();
        let alice = join(guard.address, &code.parse().unwrap()).await;
        Self {
            client: Client::new(guard.address, Some(&alice.credentials)),
            alice,
            waiting,
            next: AtomicU64::new(1),
            _guard: guard,
            _trial: trial,
        }
    }

    /// Both ends of a session. The first bytes travel right behind the hello.
    async fn session(&self) -> (impl AsyncRead + AsyncWrite + Unpin, tokio::net::TcpStream) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut words = hello(&self.alice.token);
        words.extend(b"e2e-case");
        words.extend(id.to_be_bytes());
        let (mut near, _) = self.client.handshake().await.unwrap();
        near.write_all(&words).await.unwrap();
        near.flush().await.unwrap();
        let verdict = message::read(&mut near).await.unwrap();
        assert!(matches!(verdict, Verdict::Accepted(_)), "{verdict:?}");
        let far = poll("the upstream's end", || {
            self.waiting.lock().unwrap().remove(&id)
        })
        .unwrap();
        far.set_nonblocking(true).unwrap();
        (near, tokio::net::TcpStream::from_std(far).unwrap())
    }

    async fn run(&self, case: Case) {
        let (near, far) = self.session().await;
        let (near_in, near_out) = tokio::io::split(near);
        let (far_in, far_out) = far.into_split();
        let whole = |pieces: &Pieces| -> Vec<u8> {
            pieces.iter().flat_map(|(bytes, _)| bytes.clone()).collect()
        };
        let (mut want_far, mut want_near) = (whole(&case.up), whole(&case.down));
        match case.first {
            First::Client => want_near.extend(&case.after),
            First::Upstream => want_far.extend(&case.after),
            First::Neither => {}
        }
        let (ended_up, sees_up) = tokio::sync::oneshot::channel();
        let (ended_down, sees_down) = tokio::sync::oneshot::channel();
        let waits = |side: First| case.first != First::Neither && case.first != side;
        let client_waits = waits(First::Client).then_some((sees_down, case.after.clone()));
        let upstream_waits = waits(First::Upstream).then_some((sees_up, case.after.clone()));
        let all = async {
            tokio::join!(
                send(near_out, &case.up, client_waits),
                send(far_out, &case.down, upstream_waits),
                receive(near_in, ended_down),
                receive(far_in, ended_up),
            )
        };
        let ((), (), got_near, got_far) = timeout(DEADLINE, all)
            .await
            .unwrap_or_else(|_| panic!("the session hangs, first end: {:?}", case.first));
        assert!(got_far == want_far, "other bytes reached the upstream");
        assert!(got_near == want_near, "other bytes reached the client");
    }
}

type Cue = Option<(tokio::sync::oneshot::Receiver<()>, Vec<u8>)>;

/// Sends the pieces; then, with a cue, waits for the other side's end and sends the rest;
/// then ends its half.
async fn send(mut out: impl AsyncWrite + Unpin, pieces: &Pieces, cue: Cue) {
    for (bytes, pause) in pieces {
        out.write_all(bytes).await.unwrap();
        out.flush().await.unwrap();
        if *pause > 0 {
            tokio::time::sleep(Duration::from_millis((*pause).into())).await;
        }
    }
    if let Some((seen, rest)) = cue {
        seen.await.expect("the other side's end is seen");
        out.write_all(&rest).await.expect("the other half is open");
        out.flush().await.expect("the other half is open");
    }
    out.shutdown().await.expect("an orderly end");
}

async fn receive(
    mut from: impl AsyncRead + Unpin,
    ended: tokio::sync::oneshot::Sender<()>,
) -> Vec<u8> {
    let mut all: Vec<u8> = Vec::new();
    from.read_to_end(&mut all).await.expect("an orderly end");
    let _ = ended.send(());
    all
}

#[test]
fn bytes_are_identical_under_any_segmentation() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::start());
    let config = Config {
        cases: 64,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&case(), |case| {
            runtime.block_on(bench.run(case));
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_that_the_client_ended_leaves_the_other_open() {
    let bench = Bench::start().await;
    let case = Case {
        up: vec![(b"the last words".to_vec(), 0)],
        down: vec![],
        first: First::Client,
        after: vec![7; 300_000],
    };
    bench.run(case).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_that_the_upstream_ended_leaves_the_other_open() {
    let bench = Bench::start().await;
    let case = Case {
        up: vec![],
        down: vec![(b"the last words".to_vec(), 0)],
        first: First::Upstream,
        after: vec![7; 300_000],
    };
    bench.run(case).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_everything() {
    let bench = Bench::start().await;
    let (mut near, mut far) = bench.session().await;
    let sent: Vec<u8> = (0..4 << 20).map(|at: u32| (at >> 3) as u8).collect();
    let writer = async {
        far.write_all(&sent).await.unwrap();
        far.shutdown().await.unwrap();
    };
    let reader = async {
        let mut got: Vec<u8> = Vec::new();
        let mut buffer = vec![0; 100_000];
        loop {
            let count = near.read(&mut buffer).await.unwrap();
            if count == 0 {
                return got;
            }
            got.extend(&buffer[..count]);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let ((), got) = timeout(DEADLINE, async { tokio::join!(writer, reader) })
        .await
        .unwrap();
    assert!(got == sent, "other bytes reached the client");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_dies_ends_the_session() {
    let bench = Bench::start().await;
    let (mut near, far) = bench.session().await;
    // With linger 0 the kernel resets, as it does when a process is killed with data unread.
    let far = far.into_std().unwrap();
    rustix::net::sockopt::set_socket_linger(&far, Some(Duration::ZERO)).unwrap();
    drop(far);
    let mut rest: Vec<u8> = Vec::new();
    let end = timeout(DEADLINE, near.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the session outlives its upstream");
    assert!(rest.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_on_a_unix_socket_is_reached() {
    let trial = Trial::opaque().unwrap();
    let path = trial.folder().join("houdini.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut &socket, &mut &socket);
                let _ = socket.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    let upstream = format!("unix:{}", path.display());
    let guard = trial.start_guard(&upstream, &[]).unwrap();
    let code = trial.invite(guard.address, "alice", &[]).unwrap();
    let alice = join(guard.address, &code.parse().unwrap()).await;
    let client = Client::new(guard.address, Some(&alice.credentials));
    let mut session = client.open(&hello(&alice.token)).await.unwrap();
    session.ping().await.unwrap();
}
