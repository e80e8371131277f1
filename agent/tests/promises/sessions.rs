//! Sessions, and their ends.

use hrpyc_agent::tunnel::{self, PATIENCE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wire::Code;
use wire::hello::Wanted;

use crate::guard::Mood;
use crate::world::{Client, World, close, reply, request, until};

#[tokio::test]
async fn bytes_pass_and_half_close_is_kept() {
    let world = World::new().await;
    let port = world.serve().await;
    let (mut client, mut houdini) = world.session(port).await;
    houdini.write_all(&reply(0)).await.unwrap();
    assert_eq!(client.answer().await.0.seq, 0);

    client.ask(1).await;
    client.stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    houdini.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, request(1));
    houdini.write_all(&reply(1)).await.unwrap();
    assert_eq!(client.answer().await.0.seq, 1);
    drop(houdini);
    assert_eq!(client.end().await, b"");
}

#[tokio::test]
async fn the_hello_carries_token_upstream_and_client() {
    let world = World::new().await;
    world.join().await;
    let mut route = world.route();
    route.upstream = Some(Wanted::Port(18813));
    let tunnel = tunnel::open(&route, b"first", PATIENCE).await.unwrap();
    assert_eq!(tunnel.accepted.role, "full");
    let mut houdini = world.houdini().await;
    let mut first = [0; 5];
    houdini.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"first");
    let hello = world.guard.state.hellos.lock().unwrap().pop().unwrap();
    assert_eq!(hello.token.expose(), "token.0.of-alice");
    assert_eq!(hello.upstream, Some(Wanted::Port(18813)));
    assert_eq!(hello.client, "test 1");
}

#[tokio::test]
async fn a_refusal_is_an_exception_to_every_request() {
    let world = World::new().await;
    let port = world.serve().await;
    world.guard.refuse(
        Code::AccessEnded,
        "Your access ended.",
        "ask for a new invite",
    );
    let mut client = Client::connect(port).await;
    for seq in 0..3 {
        client.ask(seq).await;
        let text = client.exception(seq).await;
        assert!(text.contains("PermissionError"), "{text}");
        let message = "Your access ended. (access-ended)\nhint: ask for a new invite";
        assert!(text.contains(message), "{text}");
    }
    assert_eq!(world.guard.connections(), 2, "joining, and one session");
}

#[tokio::test]
async fn a_houdini_that_is_down_is_a_connection_error() {
    let world = World::new().await;
    let port = world.serve().await;
    world
        .guard
        .refuse(Code::UpstreamDown, "Houdini is not listening.", "start it");
    let mut client = Client::connect(port).await;
    client.ask(0).await;
    assert!(client.exception(0).await.contains("ConnectionError"));
}

#[tokio::test]
async fn a_call_that_waits_when_access_is_revoked_raises_the_sentence() {
    for goodbye in [true, false] {
        let world = World::new().await;
        let port = world.serve().await;
        let (mut client, _houdini) = world.session(port).await;
        client.ask(1).await;
        world
            .guard
            .refuse(Code::GrantRevoked, "Your access was revoked.", "ask IT");
        world.guard.cut(goodbye);
        for seq in [0, 1] {
            let text = client.exception(seq).await;
            assert!(text.contains("PermissionError"), "{text}");
            assert!(
                text.contains("Your access was revoked. (grant-revoked)"),
                "{text}"
            );
        }
        client.ask(2).await;
        assert!(
            client
                .exception(2)
                .await
                .contains("Your access was revoked.")
        );
    }
}

#[tokio::test]
async fn an_idle_client_whose_access_is_revoked_is_told_at_its_next_call() {
    for goodbye in [true, false] {
        let world = World::new().await;
        let port = world.serve().await;
        let (mut client, mut houdini) = world.session(port).await;
        houdini.write_all(&reply(0)).await.unwrap();
        client.answer().await;
        world
            .guard
            .refuse(Code::GrantRevoked, "Your access was revoked.", "ask IT");
        world.guard.cut(goodbye);
        until("the second hello", || {
            world.guard.state.hellos.lock().unwrap().len() == 2
        })
        .await;
        client.ask(1).await;
        assert!(
            client
                .exception(1)
                .await
                .contains("Your access was revoked.")
        );
    }
}

#[tokio::test]
async fn a_call_that_waits_when_houdini_dies_raises_eof_and_the_connection_ends() {
    let world = World::new().await;
    let port = world.serve().await;
    let (mut client, houdini) = world.session(port).await;
    drop(houdini);
    let text = client.exception(0).await;
    assert!(text.contains("EOFError"), "{text}");
    assert!(
        text.contains("was lost before this call was answered"),
        "{text}"
    );
    assert_eq!(client.end().await, b"");
}

#[tokio::test]
async fn an_idle_client_whose_houdini_died_sees_the_connection_end() {
    for mood in [Mood::Accept, Mood::HangUp] {
        let world = World::new().await;
        let port = world.serve().await;
        let (mut client, mut houdini) = world.session(port).await;
        houdini.write_all(&reply(0)).await.unwrap();
        client.answer().await;
        world.guard.set_mood(mood);
        drop(houdini);
        assert_eq!(client.end().await, b"");
    }
}

#[tokio::test]
async fn an_idle_client_whose_guard_was_cut_off_may_still_close() {
    let world = World::new().await;
    let port = world.serve().await;
    let (mut client, mut houdini) = world.session(port).await;
    houdini.write_all(&reply(0)).await.unwrap();
    client.answer().await;
    world.guard.cut(false);
    until("the question why", || {
        world.guard.state.hellos.lock().unwrap().len() == 2
    })
    .await;
    client.stream.write_all(&close(1)).await.unwrap();
    assert_eq!(client.end().await, b"");
}

#[tokio::test]
async fn a_server_that_speaks_no_rpyc_may_end_first() {
    let world = World::new().await;
    let port = world.serve_open().await;
    let (mut client, mut houdini) = world.session(port).await;
    houdini.write_all(b"the end").await.unwrap();
    houdini.shutdown().await.unwrap();
    assert_eq!(client.end().await, b"the end");
    client.ask(1).await;
    client.stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    houdini.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, request(1));
}

#[tokio::test]
async fn half_a_frame_of_a_cut_session_is_not_delivered() {
    let world = World::new().await;
    let port = world.serve().await;
    let (mut client, mut houdini) = world.session(port).await;
    client.ask(1).await;
    houdini
        .write_all(&[&reply(0), &reply(1)[..8]].concat())
        .await
        .unwrap();
    assert_eq!(client.answer().await.0.seq, 0);
    world
        .guard
        .refuse(Code::GrantRevoked, "Your access was revoked.", "ask IT");
    world.guard.cut(true);
    assert!(
        client
            .exception(1)
            .await
            .contains("Your access was revoked.")
    );
}

#[tokio::test]
async fn a_client_that_has_left_causes_no_question() {
    let world = World::new().await;
    let port = world.serve().await;
    let (mut client, mut houdini) = world.session(port).await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(houdini.read(&mut [0]).await.unwrap(), 0);
    drop(houdini);
    assert_eq!(client.end().await, b"");
    assert_eq!(world.guard.state.hellos.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn sessions_that_are_cut_together_ask_together() {
    let world = World::new().await;
    let port = world.serve().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(world.session(port).await);
    }
    world
        .guard
        .refuse(Code::GrantRevoked, "Your access was revoked.", "ask IT");
    world.guard.cut(true);
    for (client, _) in &mut clients {
        assert!(
            client
                .exception(0)
                .await
                .contains("Your access was revoked.")
        );
    }
    let asked = world.guard.state.hellos.lock().unwrap().len() - 20;
    assert!(asked < 10, "{asked} questions");
}

#[tokio::test]
async fn a_guard_that_restarts_is_tried_again() {
    let world = World::new().await;
    let port = world.serve().await;
    world
        .guard
        .refuse(Code::Draining, "The guard is shutting down.", "try again");
    let mut client = Client::connect(port).await;
    client.ask(0).await;
    until("the second try", || {
        world.guard.state.hellos.lock().unwrap().len() >= 2
    })
    .await;
    world.guard.set_mood(Mood::Accept);
    let mut houdini = world.houdini().await;
    houdini.write_all(&reply(0)).await.unwrap();
    assert_eq!(
        client.answer().await.1.as_bytes(),
        String::from_utf8_lossy(&reply(0)).as_bytes()
    );
}

#[tokio::test]
async fn a_client_that_sends_nothing_dials_nobody() {
    let world = World::new().await;
    let port = world.serve().await;
    let before = world.guard.connections();
    let client = Client::connect(port).await;
    drop(client);
    let mut half = Client::connect(port).await;
    half.stream.write_all(&request(0)[..3]).await.unwrap();
    half.stream.shutdown().await.unwrap();
    assert_eq!(half.end().await, b"");
    assert_eq!(world.guard.connections(), before);
}
