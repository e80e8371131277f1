//! Before identity: what is not mutual TLS 1.3 in our protocol does not get in.

use e2e::forge::certificate::{Authority, Form};
use e2e::forge::client::{Came, Client, connect, hello, try_plain};
use e2e::forge::site::Site;
use rustls::{AlertDescription as Alert, CipherSuite, HandshakeKind, NamedGroup};
use wire::Code;

/// `GETROOT` of rpyc 4.1.0 to 5.3.1: what every classic client says first.
const RPYC_FAMILY_B: &[u8] = b"\0\0\0\x08\0\x12\x51\x50\x11\x53\x11\x51\x02\n";
/// The same from rpyc 6.
const RPYC_FAMILY_C: &[u8] = b"\0\0\0\x08\0\x01\x11\x50\x11\x53\x11\x51\x02\n";

#[tokio::test(flavor = "multi_thread")]
async fn no_certificate_is_refused() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();

    let nobody = Client::new(site.address(), None);
    let attempt = nobody.try_hello(&hello(&alice.token)).await;
    assert!(
        matches!(attempt.came, Came::Alert(Alert::CertificateRequired)),
        "{attempt:?}"
    );
    let record = site.assert_recorded(&attempt, Code::CertificateMissing, before);
    assert!(record["identity"].is_null(), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_is_refused() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();

    let elsewhere = Site::start();
    let foreign = Authority::read(&elsewhere.trial.state_dir());
    let forged = foreign.issue(&Form::client(&alice.identity.to_string()));
    let attempt = site.client(&forged).try_hello(&hello(&alice.token)).await;
    assert!(
        matches!(attempt.came, Came::Alert(Alert::UnknownCA)),
        "{attempt:?}"
    );
    let record = site.assert_recorded(&attempt, Code::AuthorityUnknown, before);
    assert!(record["identity"].is_null(), "an unproven name in {record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_only_bears_the_same_name_is_refused() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();

    let impostor = Authority::impostor_of(&site.trial.state_dir());
    let forged = impostor.issue(&Form::client(&alice.identity.to_string()));
    let attempt = site.client(&forged).try_hello(&hello(&alice.token)).await;
    assert!(matches!(attempt.came, Came::Alert(_)), "{attempt:?}");
    site.assert_recorded(&attempt, Code::AuthorityUnknown, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_the_protocol_name_is_refused() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();

    let mute = site.client(&alice.credentials).offering(&[]);
    let attempt = mute.try_hello(&hello(&alice.token)).await;
    assert!(
        matches!(
            attempt.came,
            Came::Alert(Alert::NoApplicationProtocol) | Came::Refused(..) | Came::Bytes(_)
        ),
        "{attempt:?}"
    );
    site.assert_recorded(&attempt, Code::ProtocolMissing, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_protocol_is_refused() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();

    for protocol in [&b"http/1.1"[..], b"hrpyc-guard/0", b"hrpyc-guard/2"] {
        let other = site.client(&alice.credentials).offering(&[protocol]);
        let attempt = other.try_hello(&hello(&alice.token)).await;
        assert!(
            matches!(attempt.came, Came::Alert(Alert::NoApplicationProtocol)),
            "{attempt:?}"
        );
        site.assert_recorded(&attempt, Code::ProtocolMissing, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_rpyc_is_refused_in_its_own_words() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();

    for (request, reply) in [
        (RPYC_FAMILY_B, &b"\x12\x53\x50"[..]),
        (RPYC_FAMILY_C, b"\x03\x11\x50"),
    ] {
        let attempt = try_plain(site.address(), request).await;
        let Came::Bytes(bytes) = &attempt.came else {
            panic!("{attempt:?}");
        };
        assert!(
            bytes.len() > 5 && bytes[5..].starts_with(reply),
            "not an rpyc exception in answer to the request: {:?}",
            String::from_utf8_lossy(bytes)
        );
        let text = String::from_utf8_lossy(bytes);
        assert!(text.contains("hrpyc-agent"), "no way out in {text:?}");
        site.assert_recorded(&attempt, Code::PlainRpyc, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_is_refused_in_its_own_words() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();

    for request in [
        &b"GET / HTTP/1.1\r\nHost: ws12\r\n\r\n"[..],
        b"POST /x HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        let attempt = try_plain(site.address(), request).await;
        let Came::Bytes(bytes) = &attempt.came else {
            panic!("{attempt:?}");
        };
        let text = String::from_utf8_lossy(bytes);
        assert!(text.starts_with("HTTP/1."), "{text:?}");
        assert!(text.contains(" 403 "), "{text:?}");
        site.assert_recorded(&attempt, Code::PlainHttp, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_refused() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();

    for garbage in [&[0xff; 4096][..], b"SSH-2.0-OpenSSH_9.2\r\n", &[0x80; 64]] {
        let attempt = try_plain(site.address(), garbage).await;
        assert!(!matches!(attempt.came, Came::Silence), "{attempt:?}");
        site.assert_recorded(&attempt, Code::NotTls, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_clothes_of_tls_is_refused() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();

    // A whole handshake record with nothing sensible in it.
    let mut record = vec![22, 3, 1, 0, 64];
    record.extend([0xee; 64]);
    let attempt = try_plain(site.address(), &record).await;
    assert!(!matches!(attempt.came, Came::Silence), "{attempt:?}");
    site.assert_recorded(&attempt, Code::HandshakeFailed, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_is_refused() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();

    let attempt = try_plain(site.address(), &client_hello_1_2()).await;
    let Came::Bytes(bytes) = &attempt.came else {
        panic!("{attempt:?}");
    };
    // A fatal alert, 70: protocol_version.
    assert_eq!(bytes[0], 21, "{bytes:?}");
    assert_eq!(bytes[5..7], [2, 70], "{bytes:?}");
    site.assert_recorded(&attempt, Code::HandshakeFailed, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_closed_in_time() {
    let site = Site::configured("[limits]\nhandshake_timeout = \"400ms\"\n");
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();

    let half = &client_hello_1_2()[..20];
    for bytes in [&b""[..], half] {
        let attempt = try_plain(site.address(), bytes).await;
        assert!(!matches!(attempt.came, Came::Silence), "{attempt:?}");
        site.assert_recorded(&attempt, Code::HandshakeTimeout, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_up_in_the_handshake_is_recorded() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();

    let (mut tcp, local) = connect(site.address(), None).await;
    tokio::io::AsyncWriteExt::write_all(&mut tcp, &client_hello_1_2()[..20])
        .await
        .unwrap();
    drop(tcp);
    let record = site.refusal_record(local);
    assert_eq!(record["code"], Code::HandshakeAborted.as_str(), "{record}");
    assert_eq!(site.upstream.accepted(), before);
}

/// A ClientHello that offers TLS 1.2 and nothing newer (RFC 5246 section 7.4.1.2).
fn client_hello_1_2() -> Vec<u8> {
    let extensions: &[u8] = &[
        0, 10, 0, 4, 0, 2, 0, 23, // supported_groups: secp256r1
        0, 11, 0, 2, 1, 0, // ec_point_formats: uncompressed
        0, 13, 0, 6, 0, 4, 4, 3, 8, 4, // signature_algorithms: ECDSA and RSA-PSS, SHA-256
    ];
    let mut body = vec![3, 3];
    body.extend([0x42; 32]);
    // No session id; ECDHE-ECDSA and ECDHE-RSA with AES-128-GCM; no compression.
    body.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1];
    message.extend(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend((message.len() as u16).to_be_bytes());
    record.extend(message);
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn our_clients_agree_on_keys_in_a_way_that_is_ready_for_quantum_computers() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let client = site.client(&alice.credentials);
    let (stream, _) = client.handshake().await.unwrap();
    let connection = stream.get_ref().1;
    let group = connection.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
    let suite = connection.negotiated_cipher_suite().unwrap();
    assert_eq!(suite.suite(), CipherSuite::TLS13_AES_128_GCM_SHA256);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sends_anything_before_the_handshake_is_done() {
    let site = Site::start();
    let alice = site.member("alice").await;
    // With a ticket in hand, a client could send what an onlooker can send once more.
    let client = site.client(&alice.credentials).resuming().with_early_data();
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let session = client.open(&hello(&alice.token)).await;
        let mut session = session.unwrap_or_else(|e| panic!("{e:?}"));
        session.ping().await.unwrap();
        assert_eq!(session.handshake, kind);
        assert!(!session.stream.get_ref().1.is_early_data_accepted());
    }
}
