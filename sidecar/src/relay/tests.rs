use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// Writes the pieces, then ends its side; reads until the other side has ended.
async fn talk(stream: DuplexStream, pieces: Vec<Vec<u8>>, end_after_reading: bool) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        for piece in pieces {
            writer.write_all(&piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        writer
    };
    let mut heard = Vec::new();
    if end_after_reading {
        let (mut writer, read) = tokio::join!(write, reader.read_to_end(&mut heard));
        read.unwrap();
        writer.shutdown().await.unwrap();
    } else {
        let mut writer = write.await;
        writer.shutdown().await.unwrap();
        reader.read_to_end(&mut heard).await.unwrap();
    }
    heard
}

fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)
}

proptest! {
    #[test]
    fn bytes_are_identical_under_any_segmentation(
        up in pieces(),
        down in pieces(),
        client_room in 1_usize..300,
        houdini_room in 1_usize..300,
        client_ends_first in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, mut inner_client) = duplex(client_room);
            let (houdini, mut inner_houdini) = duplex(houdini_room);
            let mut traffic = Traffic::default();
            let relay = run(
                &mut inner_client,
                &mut inner_houdini,
                &mut traffic,
                None,
                std::future::pending(),
            );
            // Who ends first must read only afterwards; its room must hold what comes.
            let (sent_up, sent_down) = (up.concat(), down.concat());
            let client_side = tokio::spawn(talk(client, up, !client_ends_first));
            let houdini_side = tokio::spawn(talk(houdini, down, client_ends_first));
            let end = relay.await;
            assert_eq!(end, if client_ends_first { End::ClientClosed } else { End::UpstreamClosed });
            assert_eq!(traffic, Traffic { up: sent_up.len() as u64, down: sent_down.len() as u64, signs: 0 });
            assert_eq!(client_side.await.unwrap(), sent_down);
            assert_eq!(houdini_side.await.unwrap(), sent_up);
        });
    }
}

#[tokio::test]
async fn a_cut_ends_a_session_in_which_nothing_moves() {
    let (_client, mut inner_client) = duplex(64);
    let (_houdini, mut inner_houdini) = duplex(64);
    let mut traffic = Traffic::default();
    let cut = async { Code::SessionRevoked };
    let end = run(
        &mut inner_client,
        &mut inner_houdini,
        &mut traffic,
        None,
        cut,
    )
    .await;
    assert_eq!(end, End::Cut(Code::SessionRevoked));
}

#[tokio::test]
async fn a_cut_ends_a_session_whose_client_does_not_read() {
    let (_client, mut inner_client) = duplex(64);
    let (mut houdini, mut inner_houdini) = duplex(64);
    let flood = tokio::spawn(async move { while houdini.write_all(&[7; 64]).await.is_ok() {} });
    let mut traffic = Traffic::default();
    let cut = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Code::SessionRevoked
    };
    let end = run(
        &mut inner_client,
        &mut inner_houdini,
        &mut traffic,
        None,
        cut,
    )
    .await;
    assert_eq!(end, End::Cut(Code::SessionRevoked));
    drop(inner_houdini);
    flood.await.unwrap();
}

#[tokio::test]
async fn an_idle_session_ends_only_where_an_idle_timeout_is_set() {
    let (mut client, mut inner_client) = duplex(64);
    let (_houdini, mut inner_houdini) = duplex(64);
    let mut traffic = Traffic::default();
    let never = std::future::pending;
    tokio::select! {
        end = run(&mut inner_client, &mut inner_houdini, &mut traffic, None, never()) => {
            panic!("the session ended: {end:?}")
        }
        () = tokio::time::sleep(Duration::from_millis(300)) => {}
    }

    let (begun, pause) = (Instant::now(), Duration::from_millis(120));
    let sender = tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        client.write_all(b"x").await.unwrap();
        client
    });
    let idle = Duration::from_millis(200);
    let end = run(
        &mut inner_client,
        &mut inner_houdini,
        &mut traffic,
        Some(idle),
        never(),
    )
    .await;
    assert_eq!(end, End::Cut(Code::SessionIdle));
    assert!(
        begun.elapsed() >= pause + idle,
        "the last byte counts, not the first"
    );
    sender.await.unwrap();
}

#[tokio::test]
async fn what_houdini_said_before_it_died_still_arrives() {
    let (mut client, mut inner_client) = duplex(1024);
    let (mut houdini, mut inner_houdini) = duplex(1024);
    houdini.write_all(b"last words").await.unwrap();
    drop(houdini);
    client.write_all(b"a call that nobody takes").await.unwrap();
    let mut heard = Vec::new();
    let mut traffic = Traffic::default();
    let relay = async {
        run(
            &mut inner_client,
            &mut inner_houdini,
            &mut traffic,
            None,
            std::future::pending(),
        )
        .await;
        drop(inner_client);
    };
    let listen = async {
        let mut buffer = [0; 64];
        while let Ok(count @ 1..) = client.read(&mut buffer).await {
            heard.extend_from_slice(&buffer[..count]);
        }
        drop(client);
    };
    tokio::join!(relay, listen);
    assert_eq!(heard, b"last words");
}
