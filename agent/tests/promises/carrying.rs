//! Sessions of a client in this process, and how it is told of their ends.

use hrpyc_agent::session::{Ending, carry};
use hrpyc_agent::standing::Standing;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wire::Code;

use crate::world::{PATIENCE, World, close, reply, request};

type Carried = JoinHandle<(Ending, Option<DuplexStream>)>;

/// The client's stream, Houdini's, and the session between them.
async fn session(world: &World, stop: &CancellationToken) -> (DuplexStream, TcpStream, Carried) {
    world.join().await;
    let standing = Standing::new(world.route());
    let tunnel = standing.open(&[], PATIENCE).await.unwrap();
    let (client, ours) = duplex(64 * 1024);
    let stop = stop.clone();
    let carried = tokio::spawn(async move { carry(ours, tunnel, &standing, &stop).await });
    (client, world.houdini().await, carried)
}

async fn ended(carried: Carried) -> (Ending, Option<DuplexStream>) {
    timeout(PATIENCE, carried).await.unwrap().unwrap()
}

/// A request goes up and its answer comes down.
async fn exchange(client: &mut DuplexStream, houdini: &mut TcpStream) {
    client.write_all(&request(0)).await.unwrap();
    let mut asked = vec![0; request(0).len()];
    houdini.read_exact(&mut asked).await.unwrap();
    assert_eq!(asked, request(0));
    houdini.write_all(&reply(0)).await.unwrap();
    let mut answer = vec![0; reply(0).len()];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, reply(0));
}

#[tokio::test]
async fn a_client_that_closes_has_left() {
    let world = World::new().await;
    let (mut client, mut houdini, carried) = session(&world, &CancellationToken::new()).await;
    exchange(&mut client, &mut houdini).await;
    client.write_all(&close(1)).await.unwrap();
    drop(client);
    let mut rest = Vec::new();
    houdini.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, close(1));
    drop(houdini);
    assert!(matches!(ended(carried).await, (Ending::Left, None)));
}

#[tokio::test]
async fn a_revocation_is_known_before_the_client_sees_the_end() {
    let world = World::new().await;
    let (mut client, mut houdini, carried) = session(&world, &CancellationToken::new()).await;
    exchange(&mut client, &mut houdini).await;
    let sentence = "Your access was revoked.";
    world.guard.refuse(Code::GrantRevoked, sentence, "ask IT");
    world.guard.cut(true);
    let (ending, ours) = ended(carried).await;
    let Ending::Denied(reason) = ending else {
        panic!("{ending:?}");
    };
    assert_eq!(reason.sentence, "Your access was revoked. (grant-revoked)");
    assert_eq!(reason.code.as_deref(), Some("grant-revoked"));
    assert_eq!(reason.hint.as_deref(), Some("ask IT"));
    drop(ours.expect("the client's stream is still open"));
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_houdini_that_quits_loses_the_session_and_denies_nothing() {
    let world = World::new().await;
    let (mut client, mut houdini, carried) = session(&world, &CancellationToken::new()).await;
    exchange(&mut client, &mut houdini).await;
    drop(houdini);
    let (Ending::Lost { sentence, hint }, Some(_)) = ended(carried).await else {
        panic!("not lost");
    };
    assert_eq!(
        sentence,
        "the session with Houdini behind ws12 has ended \
         (the guard is there and would open a new one)"
    );
    assert_eq!(
        hint,
        "connect again; what the script held of that session is gone"
    );
}

#[tokio::test]
async fn a_session_that_is_stopped_says_goodbye_to_the_guard() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    let (mut client, mut houdini, carried) = session(&world, &stop).await;
    exchange(&mut client, &mut houdini).await;
    client.write_all(&request(1)).await.unwrap();
    stop.cancel();
    let (ending, ours) = ended(carried).await;
    assert!(matches!(ending, Ending::Left));
    assert!(
        ours.is_some(),
        "the client sees no end: its process is ending"
    );
    let mut rest = Vec::new();
    houdini.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, request(1), "what was written last has arrived");
}
