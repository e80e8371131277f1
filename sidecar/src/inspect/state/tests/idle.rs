//! What is no idleness.

use std::future::{pending, ready};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::sleep;

use super::great::{MIB, call, noise};
use super::*;
use crate::inspect;
use crate::relay::Traffic;

/// Relays what two ends do, of which the session is not to be cut.
async fn relayed(
    session: &mut Session,
    houdini_is: Family,
    idle: Duration,
    ends: impl AsyncFnOnce(DuplexStream, DuplexStream),
) {
    let (script, mut client) = duplex(WHOLE);
    let (houdini, mut server) = duplex(WHOLE);
    let mut traffic = Traffic::default();
    let relay = inspect::run(
        &mut client,
        &mut server,
        &mut session.inspector,
        ready(Some(houdini_is)),
        &mut traffic,
        Some(idle),
        pending(),
    );
    tokio::select! {
        biased;
        (end, why) = relay => panic!("{end:?} {why:?}"),
        () = ends(script, houdini) => {}
    }
}

/// The head of the next message, and its frame.
async fn next(from: &mut DuplexStream) -> (Head, Vec<u8>) {
    let mut bytes = vec![0; frame::HEADER_LEN];
    from.read_exact(&mut bytes).await.unwrap();
    let length = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    bytes.resize(frame::HEADER_LEN + length + 1, 0);
    from.read_exact(&mut bytes[frame::HEADER_LEN..])
        .await
        .unwrap();
    let mut lane = Lane::new(8 * MIB);
    lane.input.extend_from_slice(&bytes);
    let Ok(Next::Whole(whole)) = lane.cut() else {
        panic!("it is no frame")
    };
    (whole.frame().head().unwrap(), bytes)
}

#[tokio::test]
async fn a_message_that_is_held_and_comes_slowly_is_no_idleness() {
    const IDLE: Duration = Duration::from_secs(1);
    for role in ["full", "read-only"] {
        let mut session = Session::of(role).await;
        let root = frame::encode(&session.request(GETROOT, &[]));
        let asked = frame::encode(&call(0, 70, &noise(2 * MIB)));
        relayed(
            &mut session,
            Family::Classic,
            IDLE,
            async |mut script, mut houdini| {
                script.write_all(&root).await.unwrap();
                assert_eq!(next(&mut houdini).await.0.seq, 0);
                for piece in asked.chunks(MIB / 3) {
                    sleep(IDLE / 4).await;
                    houdini.write_all(piece).await.unwrap();
                }
                assert_eq!(next(&mut houdini).await.0.kind, Kind::Exception);
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_message_that_takes_long_to_be_read_is_no_idleness() {
    let mut session = Session::of("full").await;
    let root = frame::encode(&session.request(GETROOT, &[]));
    let data = arguments(&[Value::Bytes(&vec![0; 20 * MIB])]);
    let ping = list(&[int(1), int(1), list(&[int(1), data])]);
    let ping = frame::encode(&ping);
    let idle = Duration::from_millis(20);
    relayed(
        &mut session,
        Family::Six,
        idle,
        async |mut script, mut houdini| {
            script.write_all(&[root, ping].concat()).await.unwrap();
            for seq in 0..2 {
                let (head, _) = next(&mut houdini).await;
                assert_eq!((head.seq, head.family), (seq, Family::Six));
            }
        },
    )
    .await;
}
