use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

type Ways = (
    DuplexStream,
    Relay<DuplexStream, DuplexStream>,
    DuplexStream,
);

/// Client, relay, server.
fn relay(first: &[u8]) -> Ways {
    relay_in(Reverse::Guarded, first)
}

fn relay_in(reverse: Reverse, first: &[u8]) -> Ways {
    let (client, local) = duplex(1000);
    let (tunnel, server) = duplex(1000);
    (client, Relay::new(local, tunnel, first, reverse), server)
}

const REQUEST: u8 = 1;
const REPLY: u8 = 2;

/// A ping or the reply to one, with `seq` and so many bytes. It is not compressed.
fn frame(kind: u8, seq: u8, length: usize) -> Vec<u8> {
    let mut payload = vec![0x12, 0x50 + kind, 0x50 + seq];
    let boxed: &[u8] = match kind {
        REQUEST => &[0x11, 0x51, 0x11, 0x51, 0x10],
        _ => &[0x11, 0x51],
    };
    payload.extend(boxed);
    // Fewer bytes have a shorter form.
    let length = length + 256;
    payload.push(0x0f);
    payload.extend((length as u32).to_be_bytes());
    payload.resize(payload.len() + length, seq);
    let mut frame = (payload.len() as u32).to_be_bytes().to_vec();
    frame.push(0);
    frame.extend(payload);
    frame.push(b'\n');
    frame
}

/// A request for the client's service.
fn getroot(seq: u8) -> Vec<u8> {
    rpyc::frame::encode(&[0x12, 0x51, 0x50 + seq, 0x11, 0x53, 0x11, 0x51, 0x02])
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

async fn read(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Writes `bytes` in pieces of these lengths, and ends.
async fn write(mut stream: impl AsyncWrite + Unpin, bytes: &[u8], cuts: &[usize]) {
    write_in(&mut stream, bytes, cuts).await;
    stream.shutdown().await.unwrap();
}

async fn write_in(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8], cuts: &[usize]) {
    let (mut rest, mut cuts) = (bytes, cuts.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
        rest = after;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Both ways, whatever the bytes are.
    #[test]
    fn what_nobody_looks_at_is_the_same_under_any_segmentation(
        up in prop::collection::vec(any::<u8>(), 0..5000),
        frames in prop::collection::vec(0usize..20_000, 0..8),
        tail in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(1usize..3000, 1..20),
    ) {
        let mut down: Vec<u8> =
            frames.iter().flat_map(|length| frame(REPLY, 0, *length)).collect();
        down.extend(tail);
        let ways = relay_in(Reverse::Open, b"");
        let (got_up, got_down) = runtime().block_on(carried(ways, &up, &down, &cuts));
        prop_assert!(got_up == up);
        prop_assert!(got_down == down);
    }

    /// What is refused is answered between two messages of the client's, and nowhere else.
    #[test]
    fn what_is_guarded_is_the_same_under_any_segmentation(
        questions in prop::collection::vec(length(), 1..5),
        wishes in prop::collection::vec(any::<bool>(), 5),
        first in 0usize..600,
        cuts in prop::collection::vec(1usize..60_000, 1..20),
    ) {
        let seqs = 0u8..;
        let up: Vec<u8> = seqs
            .clone()
            .zip(&questions)
            .flat_map(|(seq, length)| frame(REQUEST, seq, *length))
            .collect();
        let (mut down, mut left, mut wished) = (Vec::new(), Vec::new(), 0);
        for (seq, length) in seqs.zip(&questions) {
            if wishes[usize::from(seq)] {
                down.extend(getroot(wished));
                wished += 1;
            }
            let answer = frame(REPLY, seq, *length);
            down.extend_from_slice(&answer);
            left.extend(answer);
        }
        let (first, rest) = up.split_at(first.min(up.len()));
        let ways = relay(first);
        let (got_up, got_down) = runtime().block_on(carried_after(ways, rest, &down, &cuts));
        prop_assert!(got_down == left);
        let (ours, theirs) = taken_apart(&[first, &got_up].concat());
        prop_assert!(theirs == up);
        prop_assert_eq!(ours, usize::from(wished));
    }
}

/// Short, whole, and great.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![0usize..3000, 900_000usize..1_200_000]
}

/// What reaches server and client of what both send at once.
async fn carried(ways: Ways, up: &[u8], down: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<u8>) {
    let (client, mut relay, server) = ways;
    let (client_read, client_write) = tokio::io::split(client);
    let (server_read, server_write) = tokio::io::split(server);
    let relayed = async {
        if matches!(relay.run().await, End::Tunnel(Ok(()))) {
            relay.finish().await;
        }
    };
    let ((), (), (), got_up, got_down) = tokio::join!(
        relayed,
        write(client_write, up, cuts),
        write(server_write, down, cuts),
        read(server_read),
        read(client_read),
    );
    (got_up, got_down)
}

/// The same where the server begins when it has got all that the client asks, for it answers.
/// The client ends its half when it has all answers.
async fn carried_after(ways: Ways, up: &[u8], down: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<u8>) {
    let (mut client, mut relay, mut server) = ways;
    let relayed = async {
        if matches!(relay.run().await, End::Tunnel(Ok(()))) {
            relay.finish().await;
        }
    };
    let asked = async {
        write_in(&mut client, up, cuts).await;
        read(client).await
    };
    let answered = async {
        let mut got = vec![0; up.len()];
        server.read_exact(&mut got).await.unwrap();
        let (server_read, server_write) = tokio::io::split(server);
        let ((), rest) = tokio::join!(write(server_write, down, cuts), read(server_read));
        got.extend(rest);
        got
    };
    let ((), got_down, got_up) = tokio::join!(relayed, asked, answered);
    (got_up, got_down)
}

/// How many of these frames are exceptions, and the others.
fn taken_apart(bytes: &[u8]) -> (usize, Vec<u8>) {
    let mut lane = rpyc::Lane::new(8 << 20);
    lane.input.extend_from_slice(bytes);
    let (mut exceptions, mut others) = (0, Vec::new());
    while let rpyc::Next::Whole(whole) = lane.cut().unwrap() {
        match whole.frame().head().unwrap().kind {
            rpyc::Kind::Exception => exceptions += 1,
            _ => others.extend_from_slice(&whole.into_bytes()),
        }
    }
    assert!(lane.is_empty(), "half a frame");
    (exceptions, others)
}

#[tokio::test]
async fn a_cut_leaves_the_calls_without_an_answer() {
    let (mut client, mut relay, mut server) = relay(&frame(1, 0, 2));
    client.write_all(&frame(1, 1, 2)).await.unwrap();
    let answers = [frame(2, 0, 0), frame(2, 1, 10)].concat();
    let some = &answers[..answers.len() - 1];
    let mut got = vec![0; frame(1, 1, 2).len()];
    tokio::select! {
        _ = relay.run() => panic!("nothing has ended"),
        result = server.read_exact(&mut got) => { result.unwrap(); }
    }
    server.write_all(some).await.unwrap();
    drop(server);
    assert!(matches!(relay.run().await, End::Tunnel(_)));
    assert!(relay.can_be_told() && !relay.client_is_leaving());
    assert!(relay.call_waits());
    let orphan = relay.orphan();
    assert_eq!(
        orphan.outstanding.iter().map(|h| h.seq).collect::<Vec<_>>(),
        [1]
    );
    drop(orphan);
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, frame(2, 0, 0));
}

#[tokio::test]
async fn a_client_in_the_middle_of_a_long_frame_cannot_be_told() {
    for (reverse, length) in [(Reverse::Open, 100_000u32), (Reverse::Guarded, 2 << 20)] {
        let (mut client, mut relay, mut server) = relay_in(reverse, &frame(REQUEST, 0, 2));
        let mut long = length.to_be_bytes().to_vec();
        long.extend([0, 0x12, 0x52, 0x50, 0x11, 0x51, 0x00]);
        server.write_all(&long).await.unwrap();
        drop(server);
        assert!(matches!(relay.run().await, End::Tunnel(_)));
        assert!(!relay.can_be_told());
        drop(relay);
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, long);
    }
}

#[tokio::test]
async fn what_is_not_rpyc_cannot_be_told() {
    let what = b"\x00\x00\x00\x04\x00what\n";
    let (mut client, mut relay, mut server) = relay_in(Reverse::Open, b"");
    client.write_all(what).await.unwrap();
    let mut got = [0; 10];
    tokio::select! {
        _ = relay.run() => panic!("nothing has ended"),
        result = server.read_exact(&mut got) => { result.unwrap(); }
    }
    assert!(!relay.can_be_told());

    // Where the server is held to the rules, it may answer nothing that nobody can follow.
    let (mut client, mut relay, mut server) = relay_in(Reverse::Guarded, b"");
    client.write_all(what).await.unwrap();
    tokio::select! {
        _ = relay.run() => panic!("nothing has ended"),
        result = server.read_exact(&mut got) => { result.unwrap(); }
    }
    assert_eq!(&got, what);
    server.write_all(&frame(REPLY, 0, 2)).await.unwrap();
    let End::Stopped(stop) = relay.run().await else {
        panic!("it goes on");
    };
    assert_eq!(stop.from, Side::Client);
    assert!(!relay.can_be_told());
}

#[tokio::test]
async fn a_client_gets_what_came_before_that_which_ends_the_session() {
    let (mut client, mut relay, mut server) = relay(&frame(REQUEST, 0, 2));
    let answer = frame(REPLY, 0, 20);
    let sent = [&answer[..], &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]].concat();
    server.write_all(&sent).await.unwrap();
    let End::Stopped(stop) = relay.run().await else {
        panic!("it goes on");
    };
    assert_eq!(stop.from, Side::Server);
    assert!(relay.can_be_told());
    drop(relay);
    assert_eq!(read(&mut client).await, answer);
}

#[tokio::test]
async fn a_server_that_asks_much_and_reads_nothing_fills_no_memory() {
    let (_client, mut relay, mut server) = relay(&frame(REQUEST, 0, 2));
    let flood = async {
        for number in 10_000_000u32.. {
            let payload = [
                b"\x12\x51\x16\x08",
                number.to_string().as_bytes(),
                b"\x11\x53\x11\x51\x02",
            ]
            .concat();
            let asked = rpyc::frame::encode(&payload);
            let write = server.write_all(&asked);
            if timeout(Duration::from_secs(1), write).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        _ = relay.run() => panic!("nothing has ended"),
        () = flood => {}
    }
    let waiting = relay.out.answers.len();
    assert!(
        (ENOUGH..2 * ENOUGH + 20 * CHUNK).contains(&waiting),
        "{waiting} bytes wait"
    );
    // And it goes on when the server reads.
    let mut got = vec![0; waiting];
    tokio::select! {
        _ = relay.run() => panic!("nothing has ended"),
        result = server.read_exact(&mut got) => { result.unwrap(); }
    }
    assert!(relay.out.answers.len() < ENOUGH);
}

#[tokio::test]
async fn a_client_that_asks_to_close_is_leaving() {
    let close = rpyc::frame::encode(&[0x12, 0x51, 0x50, 0x11, 0x52, 0x02]);
    let (_client, relay, _server) = relay(&close);
    assert!(relay.client_is_leaving());
    assert!(!relay.call_waits());
}

#[tokio::test]
async fn a_name_that_was_dropped_is_no_call() {
    let del = rpyc::frame::encode(&[0x12, 0x51, 0x50, 0x11, 0x5f, 0x02]);
    let (_client, relay, _server) = relay(&del);
    assert!(!relay.call_waits());
    assert_eq!(relay.orphan().outstanding.len(), 1);
}

#[tokio::test]
async fn leaving_tells_the_server_and_waits_for_it_only_a_moment() {
    let (_client, mut relay, mut server) = relay(b"");
    let leaving = tokio::spawn(async move { relay.leave().await });
    let mut got = Vec::new();
    server.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"");
    // The server does not close.
    leaving.await.unwrap();
}
