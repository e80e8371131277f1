//! What poses as a guard is not talked to, and is told in a sentence of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use hrpyc_agent::Explain as _;
use hrpyc_agent::doctor;
use hrpyc_agent::fault::Cause;
use hrpyc_agent::profile::Route;
use hrpyc_agent::tunnel::{self, TunnelError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use wire::Kind;
use wire::tls::{ALPN_SESSION, GuardError};

use crate::guard::{Guard, Mood};
use crate::realm::{DAY, Realm};
use crate::world::{Client, World, serve};

/// The route of a joined profile, led astray.
async fn astray(world: &World, address: SocketAddr) -> Route {
    world.join().await;
    let mut route = world.route();
    route.guard.addresses = vec![address.to_string()];
    route
}

/// Why no tunnel comes about, and what a script is told, with the port replaced.
async fn refused(route: &Route) -> (Cause, String) {
    let TunnelError::Fault(fault) = tunnel::open_once(route, b"").await.unwrap_err() else {
        panic!("a fault was expected");
    };
    let text = fault.explained();
    let mut client = Client::connect(serve(route.clone())).await;
    client.ask(0).await;
    let told = client.exception(0).await;
    let first = text.lines().next().unwrap();
    let told_in = first.split(" of this machine says").next().unwrap();
    assert!(told.contains(told_in), "{told}");
    let address = &route.guard.addresses[0];
    (fault.cause, text.replace(address, "ADDRESS"))
}

/// Something that says `answer` to whoever connects.
async fn plain(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = tcp.read(&mut [0; 4096]).await;
                let _ = tcp.write_all(answer).await;
                let _ = tcp.shutdown().await;
                let _ = tcp.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn another_authority_is_refused() {
    let world = World::new().await;
    let elsewhere = Arc::new(Realm::new("studio.example"));
    let guard = Guard::start(&elsewhere, "ws12").await;
    let route = astray(&world, guard.address).await;
    let (cause, text) = refused(&route).await;
    assert!(matches!(cause, Cause::Untrusted(GuardError::Authority)));
    insta::assert_snapshot!(text);
    assert!(guard.state.hellos.lock().unwrap().is_empty());
}

#[tokio::test]
async fn another_guard_of_the_same_authority_is_refused() {
    let world = World::new().await;
    let guard = Guard::start(&world.realm, "ws13").await;
    let route = astray(&world, guard.address).await;
    let (cause, text) = refused(&route).await;
    assert!(matches!(
        cause,
        Cause::Untrusted(GuardError::OtherGuard { .. })
    ));
    insta::assert_snapshot!(text);
    assert!(guard.state.hellos.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_artist_that_poses_as_a_guard_is_refused() {
    let world = World::new().await;
    let wanted = world.realm.identity(Kind::Guard, "ws12");
    let mallory = world.realm.identity(Kind::Artist, "mallory");
    let guard = Guard::posing(&world.realm, wanted, mallory, &[ALPN_SESSION]).await;
    let route = astray(&world, guard.address).await;
    insta::assert_snapshot!(refused(&route).await.1);
}

#[tokio::test]
async fn a_guard_whose_certificate_has_ended_is_refused() {
    let world = World::new().await;
    let ws12 = world.realm.identity(Kind::Guard, "ws12");
    let life = (-2 * DAY, -DAY);
    let guard = Guard::presenting(&world.realm, ws12.clone(), ws12, &[ALPN_SESSION], life).await;
    let route = astray(&world, guard.address).await;
    let (cause, text) = refused(&route).await;
    assert!(matches!(cause, Cause::Untrusted(GuardError::Dates { .. })));
    assert!(text.contains("the guard's certificate ended"), "{text}");
}

#[tokio::test]
async fn tls_without_our_protocol_is_refused() {
    let world = World::new().await;
    let ws12 = world.realm.identity(Kind::Guard, "ws12");
    const FOREIGN: &[&[u8]] = &[b"hrpyc-guard/0"];
    for protocols in [&[], FOREIGN] {
        let guard = Guard::posing(&world.realm, ws12.clone(), ws12.clone(), protocols).await;
        let route = astray(&world, guard.address).await;
        let (cause, text) = refused(&route).await;
        assert!(matches!(cause, Cause::NoProtocol), "{text}");
        insta::assert_snapshot!("no_protocol", text);
        assert!(guard.state.hellos.lock().unwrap().is_empty());
        world.profiles().remove(route.profile.name()).await.unwrap();
    }
}

#[tokio::test]
async fn an_older_tls_is_refused() {
    // A ServerHello of TLS 1.2 with TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, and the alert
    // `protocol_version`.
    const HELLO: &[u8] = b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03\
        0123456789abcdef0123456789abcdef\x00\xc0\x2f\x00";
    const ALERT: &[u8] = b"\x15\x03\x03\x00\x02\x02\x46";
    for answer in [HELLO, ALERT] {
        let world = World::new().await;
        let route = astray(&world, plain(answer).await).await;
        let (cause, text) = refused(&route).await;
        assert!(matches!(cause, Cause::OldTls), "{text}");
        insta::assert_snapshot!("old_tls", text);
    }
}

#[tokio::test]
async fn what_is_not_tls_is_refused() {
    let world = World::new().await;
    let route = astray(&world, plain(b"SSH-2.0-OpenSSH_9.2\r\n").await).await;
    let (cause, text) = refused(&route).await;
    assert!(matches!(cause, Cause::NotTls), "{text}");
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_verdict_that_is_garbage_is_refused() {
    for garbage in [
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
        b"HRG\x12\x00\x00\x00\x02{}",
        b"HRG\x12\xff\xff\xff\xff",
        b"HRG\x22\x00\x00\x00\x02{}",
        b"HRG\x15\x00\x00\x00\x02{}",
    ] {
        let world = World::new().await;
        world.join().await;
        world.guard.set_mood(Mood::Say(garbage));
        let (cause, text) = refused(&world.route()).await;
        assert!(matches!(cause, Cause::Garbage(_)), "{text}");
        assert!(text.contains("does not answer as a guard does"), "{text}");
    }
}

#[tokio::test]
async fn a_guard_that_hangs_up_is_told_after_some_tries() {
    let world = World::new().await;
    world.join().await;
    world.guard.set_mood(Mood::HangUp);
    let (cause, text) = refused(&world.route()).await;
    assert!(matches!(cause, Cause::AnswerEnded), "{text}");
    assert!(world.guard.state.hellos.lock().unwrap().len() > 2);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_told_by_its_alert() {
    let world = World::new().await;
    let ws12 = world.realm.identity(Kind::Guard, "ws12");
    world.join().await;
    // The guard presents a certificate that we trust, and trusts another authority itself.
    let elsewhere = Realm::new("elsewhere.example");
    let guard = Guard::trusting(&world.realm, ws12, elsewhere.certificate.clone()).await;
    let mut route = world.route();
    route.guard.addresses = vec![guard.address.to_string()];
    let (cause, text) = refused(&route).await;
    assert!(matches!(cause, Cause::Alert(_)), "{text}");
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn nobody_there_is_told_after_some_tries() {
    let world = World::new().await;
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let route = astray(&world, gone).await;
    let (cause, text) = refused(&route).await;
    assert!(matches!(cause, Cause::Connect(_)), "{text}");
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn the_doctor_names_who_answers_in_the_guards_place() {
    let world = World::new().await;
    let proxy = Arc::new(Realm::new("proxy.example"));
    let guard = Guard::start(&proxy, "ws12").await;
    let route = astray(&world, guard.address).await;
    let report = doctor::examine(&route).await;
    assert!(!report.ok);
    let check = report
        .checks
        .iter()
        .find(|check| check.check == "guard")
        .unwrap();
    assert!(!check.ok);
    let issuer = "issued by \"CN=authority of proxy.example\", SHA256:";
    assert!(check.text.contains(issuer), "{}", check.text);
    assert!(report.checks.iter().all(|check| check.check != "verdict"));
}

#[tokio::test]
async fn the_doctor_goes_the_whole_way_when_all_is_well() {
    let world = World::new().await;
    world.join().await;
    let report = doctor::examine(&world.route()).await;
    assert!(report.ok, "{report}");
    let steps: Vec<_> = report.checks.iter().map(|check| check.check).collect();
    let all = [
        "name",
        "network",
        "guard",
        "certificate",
        "token",
        "clock",
        "verdict",
    ];
    assert_eq!(steps, all);
}
