//! Who is told why a session ends.

use super::great::{MIB, call, noise};
use super::*;

/// A first message as rpyc sends it.
fn root() -> Vec<u8> {
    request(0, GETROOT, &[])
}

fn ping(data: &[u8]) -> Vec<u8> {
    let data = arguments(&[Value::Bytes(data)]);
    list(&[int(1), int(0), list(&[int(1), data])])
}

/// What is not one message of rpyc's, though much of it begins as one does.
fn foreign() -> Vec<Vec<u8>> {
    let request = root();
    let trailing = [&request[..], &[0]].concat();
    let odd = request[..request.len() - 1].to_vec();
    let text = |text: &str| [&request[..5], text.as_bytes()].concat();
    let long = [&request[..5], &vec![b'x'; 5000]].concat();
    let great = [&request[..5], &noise(2 * MIB)].concat();
    let mut empty = vec![0; frame::HEADER_LEN + 1];
    empty.extend(frame::encode(&request));
    vec![
        b"GET / HTTP/1.1\r\nHost: ws12\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(),
        vec![0xff; 70_000],
        vec![0; 64],
        empty,
        frame::encode(b"what"),
        frame::encode(&trailing),
        frame::encode(&odd),
        frame::encode(&text("GET / HTTP/1.1")),
        // Compressed, and great.
        frame::encode(&long),
        frame::encode(&great),
        // No more than the beginning of a message.
        frame::encode(&request)[..frame::HEADER_LEN + 8].to_vec(),
        frame::encode(&great)[..MIB].to_vec(),
        [
            &frame::encode(&request)[..frame::HEADER_LEN + request.len()],
            b"!",
        ]
        .concat(),
    ]
}

#[tokio::test]
async fn a_stream_that_never_spoke_rpyc_is_told_nothing() {
    for role in ["full", "read-only"] {
        for bytes in foreign() {
            let mut session = Session::of(role).await;
            let sent = session.send(Side::Client, &bytes).await;
            let stop = sent.err().unwrap_or_else(|| Stop::new("it is idle"));
            assert!(session.last_words(&stop).is_empty(), "{role} {bytes:.40?}");
            assert!(session.out.to_client.ready.is_empty());
            assert!(session.went_on().is_empty());
        }
    }
}

#[tokio::test]
async fn a_stream_that_waits_to_be_looked_at_is_told_nothing_unless_it_is_rpyc() {
    for bytes in foreign() {
        let mut session = Session::of("full").await;
        session.lanes[Side::Client as usize]
            .input
            .extend_from_slice(&bytes);
        assert!(
            session.last_words(&Stop::new("it is idle")).is_empty(),
            "{bytes:.40?}"
        );
    }
    let compressed = [0; 5000];
    for first in [root(), ping(&compressed)] {
        let mut session = Session::of("full").await;
        session.lanes[Side::Client as usize]
            .input
            .extend_from_slice(&frame::encode(&first));
        assert_eq!(session.last_words(&Stop::new("it is idle")), [0]);
    }
}

#[tokio::test]
async fn who_has_spoken_rpyc_is_told_whatever_follows() {
    for bytes in foreign() {
        let mut session = Session::of("full").await;
        let asked = session.asks(GETROOT, &[]).await;
        let sent = session.send(Side::Client, &bytes).await;
        let stop = sent.err().unwrap_or_else(|| Stop::new("it is idle"));
        assert_eq!(
            session.last_words(&stop).last(),
            Some(&asked),
            "{bytes:.40?}"
        );
    }
    // Also with a great message alone.
    let mut session = Session::of("full").await;
    session
        .give(Side::Client, &call(0, 6, &noise(2 * MIB)))
        .await;
    assert_eq!(session.last_words(&Stop::new("it is over")), [0]);
}

#[tokio::test]
async fn what_houdini_says_first_makes_no_rpyc_of_what_the_client_sends() {
    let mut session = Session::of("full").await;
    session.give(Side::Server, &ping(b"first")).await;
    let odd = frame::encode(&root()[..5]);
    let stop = session.send(Side::Client, &odd).await.unwrap_err();
    assert!(session.last_words(&stop).is_empty());
}
