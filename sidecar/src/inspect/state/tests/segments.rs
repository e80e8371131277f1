//! However a stream is cut on its way, and at the bounds of what is taken whole.

use super::great::{MIB, NARROW, WIDE, call, noise};
use super::*;
use crate::inspect::state::inspector::INFLATED;

/// A call whose payload has this length.
fn call_of(seq: i64, length: usize) -> Vec<u8> {
    // Its bytes are so many that they have the longest head.
    let around = call(seq, 6, &[0; 300]).len() - 300;
    let payload = call(seq, 6, &noise(length - around));
    assert_eq!(payload.len(), length);
    payload
}

/// Small and great by turns, from one side.
fn streams() -> [Vec<Vec<u8>>; 2] {
    let zeros = vec![0; INFLATED + MIB];
    let asked = vec![
        frame::encode(&call(20, 6, b"small")),
        frame::encode_plain_with(|out| out.extend(call_of(21, WHOLE + 1))),
        frame::encode(&call(22, 6, b"small")),
        frame::encode(&call(23, 6, &zeros)),
        frame::encode(&call(24, 6, &noise(MIB + MIB / 2))),
        frame::encode(&call(25, 6, &noise(5000))),
    ];
    let data = |bytes: &[u8]| plain(&Value::Bytes(bytes));
    let answers = vec![
        frame::encode(&reply(20, data(b"small"))),
        frame::encode(&reply(21, data(&noise(MIB + MIB / 2)))),
        frame::encode(&reply(22, data(&zeros))),
        frame::encode(&reply(23, data(b"small"))),
    ];
    [asked, answers]
}

/// What was said to a side: the kinds and numbers of its messages.
fn said(bytes: &mut BytesMut) -> Vec<(Kind, u64)> {
    let mut lane = Lane::new(8 * MIB);
    lane.input = std::mem::take(bytes);
    let mut said = Vec::new();
    while let Ok(Next::Whole(whole)) = lane.cut() {
        let head = whole.frame().head().unwrap();
        said.push((head.kind, head.seq));
    }
    assert!(lane.is_empty());
    said
}

#[tokio::test]
async fn in_a_wide_role_all_of_a_stream_arrives_as_it_came_however_it_was_cut() {
    let [asked, answers] = streams().map(|frames| frames.concat());
    for (policy, role) in WIDE {
        // In a role with rules what is taken whole is written anew.
        let is_full = role == "full";
        for size in [usize::MAX, 65_537, 4093] {
            let mut session = Session::new(policy, role).await.method().await;
            for piece in asked.chunks(size) {
                session.send(Side::Client, piece).await.unwrap();
            }
            let arrived = &mut session.out.to_houdini.ready;
            assert!(!is_full || *arrived == asked, "{role} {size}");
            let numbers: Vec<_> = said(arrived).iter().map(|(_, seq)| *seq).collect();
            assert_eq!(numbers, [20, 21, 22, 23, 24, 25], "{role} {size}");
            for piece in answers.chunks(size) {
                session.send(Side::Server, piece).await.unwrap();
            }
            let arrived = &mut session.out.to_client.ready;
            assert!(!is_full || *arrived == answers, "{role} {size}");
            let numbers: Vec<_> = said(arrived).iter().map(|(_, seq)| *seq).collect();
            assert_eq!(numbers, [20, 21, 22, 23], "{role} {size}");
        }
    }
}

#[tokio::test]
async fn in_a_narrow_role_the_great_are_denied_and_the_small_judged_however_they_were_cut() {
    let [asked, _] = streams().map(|frames| frames.concat());
    for role in NARROW {
        for size in [usize::MAX, 65_537, 4093] {
            let mut session = Session::of(role).await.method().await;
            for piece in asked.chunks(size) {
                session.send(Side::Client, piece).await.unwrap();
            }
            // Any argument may be given to this method.
            assert_eq!(session.went_on(), [20, 22, 25], "{role} {size}");
            let told = said(&mut session.out.to_client.ready);
            let denied = [21, 23, 24].map(|seq| (Kind::Exception, seq));
            assert_eq!(told, denied, "{role} {size}");
            session.seq = 25;
            let called = session.calls_it().await;
            assert_eq!(session.went_on(), [called], "{role} {size}");
        }
    }
}

#[tokio::test]
async fn a_great_frame_may_be_cut_anywhere_in_its_head_and_at_its_end() {
    for (policy, role) in [("", "full"), ("", "read-only")] {
        for data in [noise(MIB + 64), vec![0; INFLATED + MIB]] {
            let mut session = Session::new(policy, role).await.method().await;
            for (at, from_end) in [1, 5, 6, 20]
                .map(|at| (at, false))
                .into_iter()
                .chain([1, 2].map(|at| (at, true)))
            {
                session.seq += 1;
                let asked = frame::encode(&call(session.seq, 6, &data));
                let at = match from_end {
                    true => asked.len() - at,
                    false => at,
                };
                session.send(Side::Client, &asked[..at]).await.unwrap();
                assert!(
                    session.out.to_client.ready.is_empty() || from_end,
                    "{role} {at}"
                );
                session.send(Side::Client, &asked[at..]).await.unwrap();
                let went_on = &mut session.out.to_houdini.ready;
                match role {
                    "full" => assert!(*went_on == asked, "{at}"),
                    _ => assert!(went_on.is_empty(), "{at}"),
                }
                session.out = Out::default();
                if role == "full" {
                    session.answers(session.seq, none()).await;
                    session.out = Out::default();
                }
            }
        }
    }
}

#[tokio::test]
async fn a_message_is_great_from_one_byte_more_than_is_taken_whole() {
    // The longest that are taken whole are judged as such, and the next are not.
    let whole = |length: usize| frame::encode_plain_with(|out| out.extend(call_of(6, length)));
    let inflated = |length: usize| {
        let around = call(6, 6, &[0; 300]).len() - 300;
        frame::encode(&call(6, 6, &vec![0; length - around]))
    };
    for (asked, is_great) in [
        (whole(WHOLE), false),
        (whole(WHOLE + 1), true),
        (inflated(INFLATED), false),
        (inflated(INFLATED + 1), true),
    ] {
        let mut session = Session::of("read-only").await.method().await;
        session.send(Side::Client, &asked).await.unwrap();
        let went_on = !session.out.to_houdini.ready.is_empty();
        let told = String::from_utf8_lossy(&session.out.to_client.ready).into_owned();
        let denied = told.contains("floor/size");
        assert_eq!((went_on, denied), (!is_great, is_great), "{told}");
    }
}

#[tokio::test]
async fn what_is_no_frame_ends_the_session_and_goes_nowhere() {
    let good = frame::encode(&call(6, 6, &noise(MIB + 64)));
    let small = frame::encode(&call(6, 6, &[0; 5000]));
    let with = |frame: &[u8], at: usize, byte: u8| {
        let mut frame = frame.to_vec();
        frame[at] = byte;
        frame
    };
    let longer = |frame: &[u8], tail: &[u8]| {
        let body = [&frame[frame::HEADER_LEN..frame.len() - 1], tail].concat();
        let header = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&header[..], &frame[4..5], &body, b"\n"].concat()
    };
    let nothing = [0x78, 0x01, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 1];
    let bad = [
        ("empty", vec![0, 0, 0, 0, 0, b'\n']),
        ("empty and compressed", vec![0, 0, 0, 0, 1, b'\n']),
        (
            "of nothing",
            [&[0, 0, 0, 11, 1][..], &nothing, b"\n"].concat(),
        ),
        ("flag 2", with(&small, 4, 2)),
        ("flag 255", with(&good, 4, 255)),
        ("not compressed, they say", with(&small, 4, 0)),
        ("not compressed, of the great", with(&good, 4, 0)),
        ("no newline", with(&small, small.len() - 1, b'\r')),
        ("bytes behind zlib", longer(&small, b"\0")),
        ("another zlib behind it", longer(&small, &nothing)),
        ("bytes behind great zlib", longer(&good, b"\0")),
        ("another zlib behind great", longer(&good, &nothing)),
        (
            "no newline behind great",
            with(&good, good.len() - 1, b'\r'),
        ),
        (
            "a wrong checksum",
            with(&good, good.len() - 2, good[good.len() - 2] ^ 1),
        ),
    ];
    for (policy, role) in WIDE {
        for frame in [&good, &small] {
            let mut session = Session::new(policy, role).await.method().await;
            session.send(Side::Client, frame).await.unwrap();
            assert!(session.out.to_houdini.is_between_messages());
            assert!(!session.out.to_houdini.ready.is_empty());
        }
        for (what, bytes) in &bad {
            for size in [usize::MAX, 65_537] {
                let mut session = Session::new(policy, role).await.method().await;
                let mut sent = Ok(());
                for piece in bytes.chunks(size) {
                    if sent.is_ok() {
                        sent = session.send(Side::Client, piece).await;
                    }
                }
                assert!(sent.is_err(), "{role}: {what}");
                // At most the beginning of it, which nobody acts on.
                let went_on = &session.out.to_houdini;
                assert!(went_on.ready.is_empty() || !went_on.is_between_messages());
                assert!(went_on.ready.len() < bytes.len(), "{role}: {what}");
            }
        }
    }
}
