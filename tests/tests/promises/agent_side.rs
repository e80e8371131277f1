//! What the agent refuses: a guard that is not the one it joined, and local peers that are
//! not its user's scripts.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use e2e::forge::certificate::{Authority, Form};
use e2e::forge::impostor::{Impostor, SERVER_HELLO_1_2, Wire, stolen_from};
use e2e::forge::site::Site;
use e2e::programs::{Agent, DEADLINE, run};
use rcgen::ExtendedKeyUsagePurpose::ServerAuth;
use wire::tls::ALPN_SESSION;

/// `GETROOT` of rpyc 4.1.0 to 5.3.1.
const GETROOT: &[u8] = b"\0\0\0\x08\0\x12\x51\x50\x11\x53\x11\x51\x02\n";

/// An agent that joined honestly, over a wire whose far end can then be moved.
struct Bench {
    agent: Agent,
    wire: Wire,
    site: Site,
}

impl Bench {
    /// Shows first that the honest way works.
    async fn start() -> Self {
        let wire = Wire::new();
        let site = Site::with_args(&["--advertise", &wire.address().to_string()]);
        wire.lead_to(site.address());
        let code = site.trial.invite(wire.address(), "alice", &[]).unwrap();
        site.trial
            .join("alice", &code)
            .unwrap_or_else(|e| panic!("{e}"));
        let agent = site
            .trial
            .connect("alice", &[])
            .unwrap_or_else(|e| panic!("{e}"));
        let bench = Self { agent, wire, site };
        assert_eq!(
            bench.echoed(),
            GETROOT,
            "the honest way does not work: {}",
            bench.agent.process.text(e2e::programs::Stream::Err)
        );
        bench
    }

    /// What a script's first words bring back through the honest guard.
    fn echoed(&self) -> Vec<u8> {
        let mut tcp = self.script();
        tcp.write_all(GETROOT).unwrap();
        let mut back = vec![0; GETROOT.len()];
        tcp.read_exact(&mut back).unwrap();
        back
    }

    fn script(&self) -> TcpStream {
        let tcp = TcpStream::connect(self.agent.address).unwrap();
        tcp.set_read_timeout(Some(DEADLINE)).unwrap();
        tcp
    }

    /// The exception that a script's first words bring back, as text.
    fn exception(&self) -> String {
        let mut tcp = self.script();
        let _ = tcp.write_all(GETROOT);
        let mut head = [0; 5];
        tcp.read_exact(&mut head)
            .expect("an answer, not a bare end");
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        assert!(length < 64 * 1024, "not an rpyc frame: {head:?}");
        let mut payload = vec![0; length as usize];
        tcp.read_exact(&mut payload).expect("a whole frame");
        let text = String::from_utf8_lossy(&payload).into_owned();
        // An exception in answer to the first request.
        assert!(payload.starts_with(b"\x12\x53\x50"), "{text:?}");
        text
    }

    /// What comes back up to the end of the connection.
    fn answer(&self, words: &[u8]) -> Vec<u8> {
        let mut tcp = self.script();
        let _ = tcp.write_all(words);
        let mut answer = Vec::new();
        let end = tcp.read_to_end(&mut answer);
        assert!(
            end.is_ok() || !answer.is_empty(),
            "the script hangs or is reset: {end:?}"
        );
        answer
    }

    /// Leads the wire to an impostor; the script must get an rpyc exception with a
    /// sentence that has one of `words` in it, and `doctor` must say so too.
    fn assert_turned_away(&self, impostor: SocketAddr, words: &[&str]) {
        let dialled = self.site.upstream.accepted();
        self.wire.lead_to(impostor);
        let text = self.exception().to_lowercase();
        assert!(
            words.iter().any(|word| text.contains(word)),
            "none of {words:?} in {text:?}"
        );
        let mut command = self.site.trial.agent_command("alice").unwrap();
        let doctor = run(command.arg("doctor")).unwrap();
        let doctor = doctor.with_code(1).unwrap_or_else(|e| panic!("{e}"));
        let said = format!("{}{}", doctor.stdout, doctor.stderr).to_lowercase();
        assert!(
            words.iter().any(|word| said.contains(word)),
            "none of {words:?} in what doctor says: {said}"
        );
        assert_eq!(self.site.upstream.accepted(), dialled);
        // And when the honest guard is back, so is the script.
        self.wire.lead_to(self.site.address());
        assert_eq!(self.echoed(), GETROOT);
    }

    /// As [`assert_turned_away`](Self::assert_turned_away), before the agent has said a word.
    fn assert_told_nothing(&self, impostor: &Impostor, words: &[&str]) {
        self.assert_turned_away(impostor.address(), words);
        let heard = impostor.heard();
        assert!(heard.is_empty(), "it was told {heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_of_another_authority_is_refused() {
    let bench = Bench::start().await;
    let state = bench.site.trial.state_dir();
    let name = stolen_name(&bench);
    let mut form = Form::client(&name);
    form.usages = vec![ServerAuth];
    let forged = Authority::impostor_of(&state).issue(&form);
    let impostor = Impostor::tls(&forged, &[ALPN_SESSION], b"");
    bench.assert_told_nothing(&impostor, &["authority"]);
}

/// The honest guard's name.
fn stolen_name(bench: &Bench) -> String {
    let stolen = stolen_from(&bench.site.trial.state_dir());
    let leaf = wire::leaf::Leaf::read(stolen.leaf(), wire::leaf::Usage::Server).unwrap();
    leaf.identity.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_guard_of_the_same_authority_is_refused() {
    let bench = Bench::start().await;
    let mut form = Form::client(&stolen_name(&bench).replace("ws12", "ws13"));
    form.usages = vec![ServerAuth];
    let other = Authority::read(&bench.site.trial.state_dir()).issue(&form);
    let impostor = Impostor::tls(&other, &[ALPN_SESSION], b"");
    bench.assert_told_nothing(&impostor, &["ws13"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artist_who_poses_as_the_guard_is_refused() {
    let bench = Bench::start().await;
    let bob = bench.site.member("bob").await;
    let impostor = Impostor::tls(&bob.credentials, &[ALPN_SESSION], b"");
    bench.assert_told_nothing(&impostor, &["guard"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_with_the_right_name_in_a_clients_certificate_is_refused() {
    let bench = Bench::start().await;
    let form = Form::client(&stolen_name(&bench));
    let forged = Authority::read(&bench.site.trial.state_dir()).issue(&form);
    let impostor = Impostor::tls(&forged, &[ALPN_SESSION], b"");
    bench.assert_told_nothing(&impostor, &["guard"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_does_not_name_the_protocol_gets_no_token() {
    let bench = Bench::start().await;
    let stolen = stolen_from(&bench.site.trial.state_dir());
    let impostor = Impostor::tls(&stolen, &[], b"");
    bench.assert_told_nothing(&impostor, &["protocol", "version"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_downgrades_to_tls_1_2_is_refused() {
    let bench = Bench::start().await;
    let impostor = Impostor::plain(SERVER_HELLO_1_2);
    bench.assert_turned_away(impostor.address(), &["tls", "version", "protocol"]);
    for heard in impostor.heard() {
        assert_eq!(heard[0], 22, "something else than a handshake was sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_answers_garbage_is_refused() {
    let bench = Bench::start().await;
    let stolen = stolen_from(&bench.site.trial.state_dir());
    for garbage in [
        &b"\0\0\0\x08\0\x12\x52\x50\x11\x53\x11\x51\x02\n"[..],
        b"HRG\x12\xff\xff\xff\xff",
        b"HRG\x12\0\0\0\x02{}",
        b"HRG\x22\0\0\0\x02{}",
        b"",
    ] {
        let impostor = Impostor::tls(&stolen, &[ALPN_SESSION], garbage);
        bench.assert_turned_away(impostor.address(), &["guard"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn something_that_does_not_speak_tls_is_refused() {
    let bench = Bench::start().await;
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"SSH-2.0-x\r\n",
        b"",
    ] {
        let impostor = Impostor::plain(answer);
        bench.assert_turned_away(impostor.address(), &["guard", "tls"]);
    }
}

/// What was tried from here never came as far as the guard.
fn assert_not_dialled(bench: &Bench, answer: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let dialled = bench.site.upstream.accepted();
    let records = bench.site.trial.audit().unwrap().len();
    let answer = answer();
    assert_eq!(bench.site.upstream.accepted(), dialled);
    let new = &bench.site.trial.audit().unwrap()[records..];
    let opened = new.iter().any(|record| record["event"] != "closed");
    assert!(!opened, "it came as far as the guard: {new:?}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn http_on_the_agents_port_is_refused_before_anything_is_dialled() {
    let bench = Bench::start().await;
    for request in [
        &b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"[..],
        b"POST /run HTTP/1.1\r\nContent-Length: 14\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n\r\n",
    ] {
        let answer = assert_not_dialled(&bench, || bench.answer(request));
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1."), "{text:?}");
        assert!(text.contains(" 403 "), "{text:?}");
    }
    assert_eq!(bench.echoed(), GETROOT);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_on_the_agents_port_is_refused_before_anything_is_dialled() {
    let bench = Bench::start().await;
    let hello = [&[22, 3, 1, 0, 64, 1, 0, 0, 60, 3, 3][..], &[0x42; 58]].concat();
    assert_not_dialled(&bench, || {
        let mut tcp = bench.script();
        let _ = tcp.write_all(&hello);
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer);
        answer
    });
    assert_eq!(bench.echoed(), GETROOT);
}

/// Connects to `ADDRESS`, says the hexadecimal words, prints what comes back.
const STRANGER: &str = r"
import socket, sys
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
got = b''
try:
    peer.sendall(bytes.fromhex(sys.argv[3]))
    while True:
        more = peer.recv(65536)
        if not more:
            break
        got += more
        if len(got) >= int(sys.argv[4]):
            break
except OSError as e:
    print('error', e, file=sys.stderr)
print(got.hex())
";

fn stranger(user: &str, agent: SocketAddr, enough: usize) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", user, "--regid", user, "--clear-groups", "--"])
        .args(["python3", "-c", STRANGER])
        .args([agent.ip().to_string(), agent.port().to_string()])
        .args([wire::hex(GETROOT), enough.to_string()])
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir("/");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_peer_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        crate::not_run("a_local_peer_of_another_user_is_refused", "root");
        return;
    }
    let bench = Bench::start().await;
    // The same program as the agent's own user is served.
    let own = run(&mut stranger("0", bench.agent.address, GETROOT.len())).unwrap();
    let own = own.success().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(own.stdout.trim(), wire::hex(GETROOT), "{}", own.stderr);

    let answer = assert_not_dialled(&bench, || {
        let refused = run(&mut stranger("65534", bench.agent.address, 1 << 20)).unwrap();
        let refused = refused.success().unwrap_or_else(|e| panic!("{e}"));
        refused.stdout.into_bytes()
    });
    let text = String::from_utf8_lossy(&answer);
    assert!(!text.contains(&wire::hex(GETROOT)), "a stranger was served");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_with_its_holder_and_never_moved() {
    let bench = Bench::start().await;
    let taken = bench.agent.address.to_string();
    let mut command = bench.site.trial.agent_command("alice").unwrap();
    let refused = run(command.args(["connect", "--listen", &taken])).unwrap();
    let refused = refused.with_code(1).unwrap_or_else(|e| panic!("{e}"));
    assert!(refused.stderr.contains(&taken), "{}", refused.stderr);
    assert!(refused.stderr.contains("hrpyc-agent"), "{}", refused.stderr);
    assert!(!refused.stdout.contains("listening"), "{}", refused.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_does_not_listen_beyond_loopback() {
    let bench = Bench::start().await;
    let mut command = bench.site.trial.agent_command("alice").unwrap();
    let refused = run(command.args(["connect", "--listen", "0.0.0.0:0"])).unwrap();
    assert!(matches!(refused.code, Some(1 | 2)), "{refused:?}");
    assert!(refused.stderr.contains("error: "), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_the_guard_reaches_the_script_as_an_exception() {
    let bench = Bench::start().await;
    bench
        .site
        .certs(&["revoke", "alice", "--why", "left the show"]);
    let text = bench.exception();
    assert!(text.contains("revoked"), "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_does_not_join_a_guard_of_another_authority() {
    let site = Site::start();
    let elsewhere = Site::start();
    // The code says the one, the address leads to the other.
    let mut invite = site.invite("alice", &[]);
    invite.address = elsewhere.address().to_string();
    let code = invite.to_code();
    let mut command = site.trial.agent_command("alice").unwrap();
    let refused =
        e2e::programs::run_with_input(command.args(["join", "-"]), code.expose()).unwrap();
    let refused = refused.with_code(1).unwrap_or_else(|e| panic!("{e}"));
    assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
    let said = refused.stderr.to_lowercase();
    assert!(said.contains("authority"), "{said}");
    // The invite is as good as before.
    site.trial
        .join("alice", site.invite("alice", &[]).to_code().expose())
        .unwrap();
}
