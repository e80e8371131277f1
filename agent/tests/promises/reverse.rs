//! What Houdini may ask of a script.

use hrpyc_agent::profile::Route;
use hrpyc_agent::session::{Ending, carry};
use hrpyc_agent::standing::Standing;
use rpyc::reverse::Reverse;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::world::{PATIENCE, World, reply, request, until};

/// `EXCEPTION`, of the class `telltale.Boom`, without anything else in it.
fn boom(seq: u8) -> Vec<u8> {
    let mut payload = vec![0x12, 0x53, 0x50 + seq, 0x13, 0x11];
    payload.extend(b"\x08\x0e\x08telltale\x08\x0dBoom");
    payload.extend(b"\x02\x02\x08\x01");
    rpyc::frame::encode(&payload)
}

/// The next frame of Houdini's end, as text.
async fn frame(houdini: &mut TcpStream) -> String {
    timeout(PATIENCE, async {
        let mut head = [0; 5];
        houdini.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let mut rest = vec![0; length as usize + 1];
        houdini.read_exact(&mut rest).await.unwrap();
        String::from_utf8_lossy(&rest).into_owned()
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn what_the_script_has_not_passed_is_refused_and_the_session_goes_on() {
    let world = World::new().await;
    let port = world.serve().await;
    let (mut client, mut houdini) = world.session(port).await;
    houdini.write_all(&request(0)).await.unwrap();
    let answer = frame(&mut houdini).await;
    assert!(answer.starts_with("\x12\u{53}\u{50}"), "{answer:?}");
    assert!(answer.contains("RuntimeError"), "{answer:?}");
    assert!(
        answer.contains("the artist's end of hrpyc-guard"),
        "{answer:?}"
    );
    // The script has not seen it.
    houdini.write_all(&reply(0)).await.unwrap();
    assert_eq!(client.answer().await.1, String::from_utf8_lossy(&reply(0)));
}

#[tokio::test]
async fn an_exception_names_no_module_that_the_script_would_import() {
    let world = World::new().await;
    let port = world.serve().await;
    let (mut client, mut houdini) = world.session(port).await;
    houdini.write_all(&boom(0)).await.unwrap();
    let text = client.exception(0).await;
    assert!(text.contains("remote telltale"), "{text:?}");
}

#[tokio::test]
async fn what_is_no_rpyc_is_not_handed_to_the_script_and_every_call_is_told_why() {
    let world = World::new().await;
    let port = world.serve().await;
    let (mut client, mut houdini) = world.session(port).await;
    houdini
        .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        .await
        .unwrap();
    for seq in [0, 1] {
        let text = client.exception(seq).await;
        assert!(text.contains("EOFError"), "{text:?}");
        assert!(
            text.contains("what Houdini sends cannot be looked at, and so was not handed"),
            "{text:?}"
        );
        assert!(text.contains("\nhint: "), "{text:?}");
        client.ask(seq + 1).await;
    }
    // The guard was told, and Houdini is not left alone.
    assert_eq!(houdini.read(&mut [0]).await.unwrap(), 0);
    drop(houdini);
    until("the end of the session", || {
        *world.guard.state.goodbyes.lock().unwrap() == [true]
    })
    .await;
}

#[tokio::test]
async fn a_carried_session_with_something_else_than_rpyc_says_so_before_it_ends() {
    let world = World::new().await;
    world.join().await;
    let standing = Standing::new(world.route());
    let tunnel = standing.open(&[], PATIENCE).await.unwrap();
    let (mut client, ours) = duplex(64 * 1024);
    let mut houdini = world.houdini().await;
    let stop = CancellationToken::new();
    houdini.write_all(b"what is this?").await.unwrap();
    let carried = timeout(PATIENCE, carry(ours, tunnel, &standing, &stop)).await;
    let (Ending::Lost { sentence, hint }, Some(ours)) = carried.unwrap() else {
        panic!("not lost");
    };
    assert!(
        sentence.contains("was not handed to the script"),
        "{sentence}"
    );
    assert!(hint.contains("IT"), "{hint}");
    drop(ours);
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"");
}

#[tokio::test]
async fn a_peer_too_old_to_be_understood_is_told_with_what_to_install() {
    let world = World::new().await;
    let port = world.serve().await;
    let (mut client, mut houdini) = world.session(port).await;
    // A reference of rpyc 3: `(2, 0, (4, (7, "service", "rpyc")))`.
    let mut old = vec![0x12, 0x52, 0x50, 0x11, 0x54, 0x12, 0x57];
    old.extend(b"\x08\x0e\x07service\x08\x0drpyc");
    houdini.write_all(&rpyc::frame::encode(&old)).await.unwrap();
    let text = client.exception(0).await;
    assert!(text.contains("rpyc 3.x or 4.0.x"), "{text:?}");
    assert!(
        text.contains("hint: install rpyc 4.1.0 or newer"),
        "{text:?}"
    );
    assert_eq!(text.matches("hint: ").count(), 1, "{text:?}");
}

#[tokio::test]
async fn an_open_profile_lets_everything_pass_as_it_is() {
    let world = World::new().await;
    let port = world.serve_open().await;
    let (mut client, mut houdini) = world.session(port).await;
    let sent = [&request(0)[..], &boom(0), &b"\0\0\0\x04\0what\n"[..]].concat();
    houdini.write_all(&sent).await.unwrap();
    let mut got = vec![0; sent.len()];
    client.stream.read_exact(&mut got).await.unwrap();
    assert_eq!(got, sent);
}

/// What `profile.toml` says, with another word for the reverse calls.
fn edit(route: &Route, from: &str, to: &str) {
    let path = route.profile.folder().join("profile.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (from, to) = (
        format!("reverse_calls = \"{from}\"\n"),
        format!("reverse_calls = \"{to}\"\n"),
    );
    assert!(text.contains(&from), "{text}");
    std::fs::write(&path, text.replace(&from, &to)).unwrap();
}

#[tokio::test]
async fn the_next_session_goes_by_the_edited_profile() {
    let world = World::new().await;
    let port = world.serve().await;
    let (_client, mut before) = world.session(port).await;
    edit(&world.route(), "guarded", "open");
    assert_eq!(world.route().profile.reverse_calls(), Reverse::Open);
    let (mut client, mut after) = world.session(port).await;
    after.write_all(&request(0)).await.unwrap();
    let mut got = vec![0; request(0).len()];
    client.stream.read_exact(&mut got).await.unwrap();
    assert_eq!(got, request(0));
    // A session that runs stays as it began.
    before.write_all(&request(0)).await.unwrap();
    assert!(frame(&mut before).await.contains("RuntimeError"));

    edit(&world.route(), "open", "guarded");
    let (_client, mut last) = world.session(port).await;
    last.write_all(&request(0)).await.unwrap();
    assert!(frame(&mut last).await.contains("RuntimeError"));
}

#[tokio::test]
async fn a_profile_that_says_something_else_opens_nothing() {
    let world = World::new().await;
    world.join().await;
    let route = world.route();
    edit(&route, "guarded", "everything");
    let error = world.profiles().load(route.profile.name()).unwrap_err();
    assert!(error.to_string().contains("`guarded` or `open`"), "{error}");
}

#[tokio::test]
async fn a_profile_that_says_nothing_of_it_is_guarded() {
    let world = World::new().await;
    world.join_with(Reverse::Open).await;
    let route = world.route();
    let path = route.profile.folder().join("profile.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("reverse_calls = \"open\"\n", "")).unwrap();
    assert_eq!(world.route().profile.reverse_calls(), Reverse::Guarded);
}
