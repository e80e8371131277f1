use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

/// Client, relay, server.
fn relay(
    first: &[u8],
) -> (
    DuplexStream,
    Relay<DuplexStream, DuplexStream>,
    DuplexStream,
) {
    let (client, local) = duplex(1000);
    let (tunnel, server) = duplex(1000);
    (client, Relay::new(local, tunnel, first), server)
}

/// A request or reply with `seq` and so many bytes behind its head.
fn frame(kind: u8, seq: u8, length: usize) -> Vec<u8> {
    let mut payload = vec![0x12, 0x50 + kind, 0x50 + seq, 0x11, 0x53, 0x02];
    payload.resize(6 + length, 0);
    rpyc::frame::encode(&payload)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

/// Writes `bytes` in pieces of these lengths, and ends.
async fn write(mut stream: impl AsyncWrite + Unpin, bytes: &[u8], cuts: &[usize]) {
    let (mut rest, mut cuts) = (bytes, cuts.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
        rest = after;
    }
    stream.shutdown().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Both ways, whatever the bytes are.
    #[test]
    fn bytes_are_the_same_under_any_segmentation(
        up in prop::collection::vec(any::<u8>(), 0..5000),
        frames in prop::collection::vec(0usize..20_000, 0..8),
        tail in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(1usize..3000, 1..20),
    ) {
        let mut down: Vec<u8> = frames.iter().flat_map(|length| frame(2, 0, *length)).collect();
        down.extend(tail);
        runtime().block_on(async {
            let (client, mut relay, server) = relay(b"");
            let (client_read, client_write) = tokio::io::split(client);
            let (server_read, server_write) = tokio::io::split(server);
            let read = |mut stream| async move {
                let mut bytes = Vec::new();
                tokio::io::ReadHalf::<DuplexStream>::read_to_end(&mut stream, &mut bytes)
                    .await
                    .unwrap();
                bytes
            };
            let relayed = async {
                if matches!(relay.run().await, End::Tunnel(Ok(()))) {
                    relay.finish().await;
                }
            };
            let ((), (), (), got_up, got_down) = tokio::join!(
                relayed,
                write(client_write, &up, &cuts),
                write(server_write, &down, &cuts),
                read(server_read),
                read(client_read),
            );
            assert!(got_up == up);
            assert!(got_down == down);
        });
    }
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
    let (mut client, mut relay, mut server) = relay(&frame(1, 0, 2));
    let mut long = 100_000u32.to_be_bytes().to_vec();
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

#[tokio::test]
async fn what_is_not_rpyc_cannot_be_told() {
    let (mut client, mut relay, mut server) = relay(b"");
    client.write_all(b"\x00\x00\x00\x04\x00what").await.unwrap();
    let mut got = [0; 9];
    tokio::select! {
        _ = relay.run() => panic!("nothing has ended"),
        result = server.read_exact(&mut got) => { result.unwrap(); }
    }
    assert!(!relay.can_be_told());
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
