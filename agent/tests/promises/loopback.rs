//! Who may use the local port.

use std::net::SocketAddr;
use std::process::Stdio;

use hrpyc_agent::Explain as _;
use hrpyc_agent::local::{self, ListenError, NotOurs, check_owner};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::world::{Client, World, request};

#[tokio::test]
async fn http_gets_a_text_and_nothing_is_dialled() {
    let world = World::new().await;
    let port = world.serve().await;
    let before = world.guard.connections();
    let mut client = Client::connect(port).await;
    client
        .stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    client.stream.shutdown().await.unwrap();
    let answer = String::from_utf8(client.end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    assert_eq!(world.guard.connections(), before);
}

#[tokio::test]
async fn tls_and_the_unknown_are_closed_and_nothing_is_dialled() {
    let world = World::new().await;
    let port = world.serve().await;
    let before = world.guard.connections();
    for first in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"SSH-2.0-x\r\n",
    ] {
        let mut client = Client::connect(port).await;
        client.stream.write_all(first).await.unwrap();
        client.stream.shutdown().await.unwrap();
        assert_eq!(client.end().await, b"");
    }
    assert_eq!(world.guard.connections(), before);
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:18811"] {
        let error = local::listen(address.parse().unwrap()).unwrap_err();
        assert!(matches!(error, ListenError::NotLoopback(_)), "{error}");
    }
    let error = local::listen("0.0.0.0:18811".parse().unwrap()).unwrap_err();
    insta::assert_snapshot!(error.explained());
    local::listen("[::1]:0".parse().unwrap()).unwrap();
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_port_that_is_taken_names_its_holder() {
    for taken in ["127.0.0.1:0", "0.0.0.0:0"] {
        let first = TcpListener::bind(taken).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let error = local::listen(([127, 0, 0, 1], port).into()).unwrap_err();
        let ListenError::Taken {
            holder: Some(holder),
            ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(holder.process.as_ref().unwrap().0, std::process::id());
        let text = error.explained();
        assert!(
            text.contains(&format!("process {}", std::process::id())),
            "{text}"
        );
        assert!(text.contains("--listen"), "{text}");
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn our_own_connection_is_ours() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    let here = server.local_addr().unwrap();
    check_owner(peer, here).await.unwrap();
    check_owner(here, peer).await.unwrap();
    let nobody = SocketAddr::new(peer.ip(), 1);
    let error = check_owner(nobody, here).await.unwrap_err();
    assert!(matches!(error, NotOurs::Nobody), "{error}");
    drop(client);
}

/// Needs root, to become somebody else; the table of sockets is tested without.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_client_of_another_user_is_refused_and_nothing_is_dialled() {
    const NOBODY: &str = "65534";
    const CLIENT: &str = "import socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
try:
    s.sendall(bytes.fromhex(sys.argv[2]))
    print(len(s.recv(100)))
except ConnectionError:
    print(0)
";
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::new().await;
    let port = world.serve().await;
    let before = world.guard.connections();
    let output = Command::new("setpriv")
        .args([
            "--reuid",
            NOBODY,
            "--clear-groups",
            "/usr/bin/python3",
            "-c",
            CLIENT,
        ])
        .arg(port.port().to_string())
        .arg(wire::hex(&request(0)))
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{output:?}");
    assert_eq!(world.guard.connections(), before);
}
