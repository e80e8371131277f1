#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::*;

/// A leg, and who listens where it leads.
async fn leg() -> (Leg, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let leg = Leg::to(listener.local_addr().unwrap());
    (leg, listener)
}

/// Both ends of a connection over a leg.
async fn pair(leg: &Leg, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let near = TcpStream::connect(leg.address()).await.unwrap();
    let (far, peer) = listener.accept().await.unwrap();
    until(|| leg.dialled() == [peer], || "it is not named".into()).await;
    (near, far)
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.unwrap()
}

/// How long bytes take from one end to the other, which must be those that were sent.
async fn crossing(near: &mut TcpStream, far: &mut TcpStream, size: usize) -> Duration {
    let sent: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
    let start = Instant::now();
    let mut got = vec![0; size];
    let (written, read) =
        within(async { tokio::join!(near.write_all(&sent), far.read_exact(&mut got)) }).await;
    written.unwrap();
    read.unwrap();
    assert_eq!(got, sent);
    start.elapsed()
}

const SHORT: Duration = Duration::from_millis(100);

async fn is_silent(end: &mut TcpStream) {
    let mut byte = [0];
    let heard = timeout(SHORT, end.read(&mut byte)).await;
    assert!(heard.is_err(), "{heard:?} came");
}

async fn ends(end: &mut TcpStream) -> std::io::Result<usize> {
    within(end.read(&mut [0])).await
}

#[tokio::test]
async fn without_a_fault_everything_goes_through_and_so_do_the_ends() {
    let (leg, listener) = leg().await;
    let (mut near, mut far) = pair(&leg, &listener).await;
    crossing(&mut near, &mut far, 300_000).await;
    crossing(&mut far, &mut near, 300_000).await;
    near.shutdown().await.unwrap();
    assert_eq!(ends(&mut far).await.unwrap(), 0);
    until(|| leg.near_open() == 0, || "the end is not seen".into()).await;
    assert_eq!(leg.far_open(), 1);
    crossing(&mut far, &mut near, 10).await;
    drop(far);
    assert_eq!(ends(&mut near).await.unwrap(), 0);
    until(|| leg.far_open() == 0, || "the end is not seen".into()).await;
}

#[tokio::test]
async fn a_delay_is_kept_and_costs_no_bandwidth() {
    let (leg, listener) = leg().await;
    let (mut near, mut far) = pair(&leg, &listener).await;
    leg.strike(Fault::Delay(SHORT));
    assert!(crossing(&mut near, &mut far, 1).await >= SHORT);
    let many = crossing(&mut near, &mut far, 1 << 20).await;
    assert!(many >= SHORT && many < 10 * SHORT, "{many:?}");
    leg.lift();
    assert!(crossing(&mut near, &mut far, 1).await < SHORT);
}

#[tokio::test]
async fn a_jitter_delays_each_piece_by_another_time_and_keeps_the_order() {
    let (leg, listener) = leg().await;
    let (mut near, mut far) = pair(&leg, &listener).await;
    leg.strike(Fault::Jitter(SHORT));
    let mut times = Vec::new();
    for _ in 0..12 {
        times.push(crossing(&mut near, &mut far, 5).await);
    }
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(*most > *least + SHORT / 4, "{times:?}");
    crossing(&mut near, &mut far, 1 << 20).await;
}

#[tokio::test]
async fn a_bandwidth_is_not_exceeded() {
    let (leg, listener) = leg().await;
    let (mut near, mut far) = pair(&leg, &listener).await;
    leg.strike(Fault::Bandwidth(200_000));
    let took = crossing(&mut near, &mut far, 100_000).await;
    assert!(took >= Duration::from_millis(450), "{took:?}");
}

#[tokio::test]
async fn bytes_arrive_in_other_pieces_and_in_their_order() {
    let (leg, listener) = leg().await;
    let (mut near, mut far) = pair(&leg, &listener).await;
    leg.strike(Fault::Pieces);
    near.write_all(&[7; 71]).await.unwrap();
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 71 {
        let mut buffer = [0; 100];
        sizes.push(within(far.read(&mut buffer)).await.unwrap());
    }
    assert!(sizes.len() > 1, "{sizes:?}");
    crossing(&mut near, &mut far, 100_000).await;
}

#[tokio::test]
async fn a_reset_reaches_both_ends_and_not_the_next_connection() {
    let (leg, listener) = leg().await;
    let (mut near, mut far) = pair(&leg, &listener).await;
    leg.strike(Fault::Reset);
    for end in [&mut near, &mut far] {
        let error = ends(end).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    let mut next = TcpStream::connect(leg.address()).await.unwrap();
    is_silent(&mut next).await;
    drop(leg);
    assert_eq!(ends(&mut next).await.unwrap(), 0, "it ends with the leg");
}

#[tokio::test]
async fn a_reset_that_finds_nobody_strikes_who_comes_next_and_nobody_else() {
    let (leg, _listener) = leg().await;
    leg.strike(Fault::Reset);
    let mut first = TcpStream::connect(leg.address()).await.unwrap();
    is_silent(&mut first).await;
    first.write_all(b"hello").await.unwrap();
    assert!(ends(&mut first).await.is_err());
    let mut second = TcpStream::connect(leg.address()).await.unwrap();
    second.write_all(b"hello").await.unwrap();
    is_silent(&mut second).await;
}

#[tokio::test]
async fn a_blackhole_swallows_bytes_and_ends_until_it_is_lifted() {
    let (leg, listener) = leg().await;
    let (mut near, mut far) = pair(&leg, &listener).await;
    leg.strike(Fault::Blackhole);
    near.write_all(&[7; 100]).await.unwrap();
    near.shutdown().await.unwrap();
    is_silent(&mut far).await;
    far.write_all(&[7; 100]).await.unwrap();
    is_silent(&mut near).await;
    until(|| leg.near_open() == 0, || "the end is not seen".into()).await;
    // One that comes now is taken, and swallowed as well.
    let mut next = TcpStream::connect(leg.address()).await.unwrap();
    next.write_all(b"hello").await.unwrap();
    is_silent(&mut next).await;
    leg.lift();
    assert_eq!(ends(&mut near).await.unwrap(), 0);
    assert_eq!(ends(&mut far).await.unwrap(), 0, "what was swallowed came");
}

#[tokio::test]
async fn a_half_that_is_closed_leaves_the_other_open() {
    for way in [Way::Up, Way::Down] {
        let (leg, listener) = leg().await;
        let (near, far) = pair(&leg, &listener).await;
        leg.strike(Fault::HalfClose(way));
        let (mut from, mut to) = match way {
            Way::Up => (near, far),
            Way::Down => (far, near),
        };
        assert_eq!(ends(&mut to).await.unwrap(), 0);
        crossing(&mut to, &mut from, 10_000).await;
        from.write_all(b"lost").await.unwrap();
        assert_eq!(ends(&mut to).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_gate_holds_what_comes_until_it_is_opened() {
    let (leg, listener) = leg().await;
    let (mut near, mut far) = pair(&leg, &listener).await;
    leg.gate(Way::Up, Gate::After(3));
    near.write_all(b"hello").await.unwrap();
    leg.until_held(Way::Up).await;
    let mut got = [0; 5];
    within(far.read_exact(&mut got[..3])).await.unwrap();
    assert_eq!(leg.delivered(Way::Up), 3);
    is_silent(&mut far).await;
    leg.open_gates();
    within(far.read_exact(&mut got[3..])).await.unwrap();
    assert_eq!(&got, b"hello");
}

#[tokio::test]
async fn who_connects_to_a_shut_leg_waits_until_it_is_open() {
    let (leg, listener) = leg().await;
    leg.shut().await;
    let at = leg.address();
    let connecting = tokio::spawn(async move { TcpStream::connect(at).await });
    tokio::time::sleep(2 * FULL).await;
    assert!(!connecting.is_finished(), "the kernel has taken it");
    leg.reopen();
    let mut near = within(connecting).await.unwrap().unwrap();
    let (mut far, _) = within(listener.accept()).await.unwrap();
    crossing(&mut near, &mut far, 10).await;
    assert_eq!(
        leg.accepted(),
        1,
        "a connection of the leg's own was led on"
    );
}
