//! What a client hears when its session ends for what it has sent.

use std::io::{Read as _, Write as _, copy, sink};

use e2e::forge::client::hello;
use e2e::forge::enrol::Member;
use e2e::forge::site::Site;
use e2e::forge::upstream::Upstream;
use e2e::programs::{DEADLINE, poll};
use rpyc::frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use wire::Code;

/// `GETROOT` of rpyc 4.1.0 to 5.3.1, without its frame.
const GETROOT: &[u8] = b"\x12\x51\x50\x11\x53\x11\x51\x02";

/// As `GETROOT`, with the next number.
const AGAIN: &[u8] = b"\x12\x51\x51\x11\x53\x11\x51\x02";

/// The answer to the first request: `None`.
const ANSWER: &[u8] = b"\x12\x52\x50\x11\x51\x00";

/// A guard in front of a server that answers one request, as many as the guard itself asks.
fn site() -> Site {
    let taciturn = Upstream::serving(|mut tcp| {
        let mut first = [0; 1024];
        if let Ok(1..) = tcp.read(&mut first)
            && tcp.write_all(&frame::encode(ANSWER)).is_ok()
        {
            let _ = copy(&mut tcp, &mut sink());
        }
    });
    Site::before(taciturn, "")
}

/// What comes to a client that sends this, until the end.
async fn heard(site: &Site, who: &Member, bytes: &[u8]) -> String {
    let client = site.client(&who.credentials);
    let mut session = client.open(&hello(&who.token)).await.unwrap();
    session.stream.write_all(bytes).await.unwrap();
    session.stream.flush().await.unwrap();
    let mut heard = Vec::new();
    let end = timeout(DEADLINE, session.stream.read_to_end(&mut heard)).await;
    end.expect("the session ends").unwrap();
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_never_spoke_rpyc_hears_none_of_it() {
    let site = site();
    let alice = site.member("alice").await;
    let asked = [frame::encode(GETROOT), frame::encode(AGAIN)].concat();
    let said = heard(&site, &alice, &[&asked, &b"GET /"[..]].concat()).await;
    assert!(said.contains("hrpyc-guard ended the session"), "{said:?}");
    let foreign = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 70_000],
        frame::encode(b"what"),
        // These begin as a request does.
        frame::encode(&[GETROOT, b"\0"].concat()),
        frame::encode(&GETROOT[..GETROOT.len() - 1]),
        frame::encode(&[&GETROOT[..5], &[b'x'; 5000]].concat()),
    ];
    for bytes in &foreign {
        assert_eq!(heard(&site, &alice, bytes).await, "", "{bytes:.40?}");
    }
    let ends = poll("a record of each end", || {
        Some(site.events("closed")).filter(|ends| ends.len() == 1 + foreign.len())
    });
    for end in ends.unwrap() {
        assert_eq!(end["reason"], Code::SessionProtocol.as_str(), "{end}");
    }
}
