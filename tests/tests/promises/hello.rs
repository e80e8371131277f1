//! The client's first words: whole, in time, within their bound, of a known version.

use std::time::Duration;

use e2e::forge::client::{Attempt, Client, hello};
use e2e::forge::enrol::Member;
use e2e::forge::site::Site;
use tokio::io::AsyncWriteExt as _;
use wire::Code;

struct Talk {
    site: Site,
    alice: Member,
    before: usize,
}

impl Talk {
    async fn start() -> Self {
        let site = Site::configured("[limits]\nhello_timeout = \"600ms\"\n");
        let alice = site.member("alice").await;
        site.open(&alice).await;
        let before = site.upstream.accepted();
        Self {
            site,
            alice,
            before,
        }
    }

    fn client(&self) -> Client {
        self.site.client(&self.alice.credentials)
    }

    fn words(&self) -> Vec<u8> {
        hello(&self.alice.token)
    }

    fn assert_refused(&self, attempt: &Attempt, code: Code) {
        let record = self.site.assert_refused(attempt, code, self.before);
        let who = self.alice.identity.to_string();
        assert_eq!(record["identity"], who, "{record}");
    }

    async fn assert_words_refused(&self, words: &[u8], code: Code) {
        let attempt = self.client().try_hello(words).await;
        self.assert_refused(&attempt, code);
    }
}

/// The head of a message with these first four bytes and this announced length.
fn head(start: &[u8; 4], length: u32) -> Vec<u8> {
    [&start[..], &length.to_be_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_is_refused_in_time() {
    let talk = Talk::start().await;
    let attempt = talk.client().try_silence().await;
    talk.assert_refused(&attempt, Code::HelloTimeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_hello_is_refused_in_time() {
    let talk = Talk::start().await;
    let words = talk.words();
    for length in [1, 7, 8, 9, words.len() / 2, words.len() - 1] {
        talk.assert_words_refused(&words[..length], Code::HelloTimeout)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_drips_is_refused_in_time() {
    let talk = Talk::start().await;
    let words = talk.words();
    let attempt = talk
        .client()
        .try_dripping(&words, Duration::from_millis(20))
        .await;
    talk.assert_refused(&attempt, Code::HelloTimeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_up_before_the_hello_is_whole_is_refused() {
    let talk = Talk::start().await;
    let words = talk.words();
    for length in [0, 5, words.len() - 1] {
        let attempt = talk.client().try_then_end(&words[..length]).await;
        let record = talk
            .site
            .assert_recorded(&attempt, Code::HelloMissing, talk.before);
        assert_eq!(record["identity"], talk.alice.identity.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_hello_is_refused_at_its_head() {
    let talk = Talk::start().await;
    for length in [4 * 1024 + 1, 1 << 20, u32::MAX] {
        talk.assert_words_refused(&head(b"HRG\x11", length), Code::HelloTooLarge)
            .await;
    }
    // Also when all of it is on its way already: the sentence must survive that.
    let mut flood = head(b"HRG\x11", 1 << 20);
    flood.resize(48 * 1024, b'x');
    talk.assert_words_refused(&flood, Code::HelloTooLarge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_for_a_hello_is_refused() {
    let talk = Talk::start().await;
    let honest = talk.words();
    let body = &honest[8..];
    let with_body = |body: &[u8]| [head(b"HRG\x11", body.len() as u32), body.to_vec()].concat();
    let unknown_field =
        String::from_utf8(body.to_vec())
            .unwrap()
            .replacen('{', r#"{"admin":true,"#, 1);
    for garbage in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\0\0\0\x08\0\x12\x51\x50\x11\x53\x11\x51\x02\n".to_vec(),
        vec![0xff; 300],
        head(b"HRG\x11", 0),
        with_body(b"{}"),
        with_body(b"[]"),
        with_body(&[b'['; 4000]),
        with_body(b"\xff\xfe\xfd"),
        with_body(unknown_field.as_bytes()),
        // A message of ours, and not a hello: kind 3 is an enrolment.
        [&head(b"HRG\x13", body.len() as u32)[..], body].concat(),
    ] {
        talk.assert_words_refused(&garbage, Code::HelloMalformed)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_of_another_version_is_refused() {
    let talk = Talk::start().await;
    for version in [0x01, 0x21, 0xf1] {
        let mut words = talk.words();
        words[3] = version;
        talk.assert_words_refused(&words, Code::HelloVersion).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_may_come_in_pieces_and_with_data_right_behind_it() {
    let talk = Talk::start().await;
    let words = talk.words();
    let (mut stream, _) = talk.client().handshake().await.unwrap();
    for piece in words.chunks(words.len() / 5) {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
    }
    // A `PING` as rpyc 5 sends it; the echo of it is a question of the upstream's.
    let ask = rpyc::frame::encode(&[0x12, 0x51, 0x50, 0x11, 0x51, 0x11, 0x51, 0x10, 0]);
    stream.write_all(&ask).await.unwrap();
    stream.flush().await.unwrap();
    let verdict = wire::message::read(&mut stream).await.unwrap();
    assert!(matches!(verdict, wire::hello::Verdict::Accepted(_)));
    let mut back = vec![0; ask.len()];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut back)
        .await
        .unwrap();
    assert_eq!(back, ask);
}
