//! Which Houdini is reached: the one that was meant, of the user who was named, and by
//! those who were granted it.

use std::net::Ipv4Addr;
use std::time::Duration;

use e2e::forge::client::{Attempt, Came, Client, Session, hello_for};
use e2e::forge::enrol::{Member, join};
use e2e::forge::foreign::{Foreign, UID};
use e2e::forge::upstream::Upstream;
use e2e::programs::{Guard, Stream, Trial, free_address, opaque, poll_for, run};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpSocket;
use wire::Code;
use wire::hello::Wanted;

/// A guard with these settings, and alice.
struct Bench {
    guard: Guard,
    alice: Member,
    trial: Trial,
}

impl Bench {
    async fn start(settings: &str) -> Self {
        Self::inviting(settings, &[]).await
    }

    /// With further arguments to the invite.
    async fn inviting(settings: &str, extra: &[&str]) -> Self {
        let trial = Trial::new().unwrap();
        let path = trial.folder().join("guard.toml");
        // What Houdini speaks is not asked then: each connection to it is a session's.
        let settings = format!("policy = \"{}\"\n{settings}", opaque().display());
        std::fs::write(&path, settings).unwrap();
        let mut command = trial.command("hrpyc-guard").unwrap();
        command
            .args(["--listen", "127.0.0.1:0", "--name", "ws12", "--config"])
            .arg(path)
            .arg("--state-dir")
            .arg(trial.state_dir());
        let guard = Guard::start(&mut command).unwrap_or_else(|e| panic!("{e}"));
        let code = trial.invite(guard.address, "alice", extra).unwrap();
        let alice = join(guard.address, &code.parse().unwrap()).await;
        Self {
            guard,
            alice,
            trial,
        }
    }

    async fn open(&self, wanted: Option<Wanted>) -> Result<Session, Attempt> {
        let client = Client::new(self.guard.address, Some(&self.alice.credentials));
        client.open(&hello_for(&self.alice.token, wanted)).await
    }

    /// A session that reaches this upstream and no other one.
    async fn reaches(&self, wanted: Option<Wanted>, upstream: &Upstream) -> Session {
        let before = upstream.accepted();
        let mut session = self.open(wanted).await.unwrap_or_else(|attempt| {
            panic!(
                "{attempt:?}\nthe guard logged\n{}",
                self.guard.process.text(Stream::Err)
            )
        });
        session.ping().await.unwrap();
        assert_eq!(upstream.accepted(), before + 1, "another one was reached");
        session
    }

    /// Refused with this code, to the client and in the audit.
    async fn refuses(&self, wanted: Option<Wanted>, code: Code) -> Value {
        let attempt = self.open(wanted).await.unwrap_err();
        let Came::Refused(refusal, true) = &attempt.came else {
            panic!("{attempt:?}");
        };
        assert_eq!(refusal.code, code.as_str(), "{refusal:?}");
        let peer = attempt.local.to_string();
        let record = self
            .trial
            .wait_for_record(|record| record["event"] == "refused" && record["peer"] == peer)
            .unwrap();
        assert_eq!(record["code"], code.as_str(), "{record}");
        assert_eq!(record["stage"], code.stage().as_str(), "{record}");
        record
    }

    fn record(&self, event: &str, session: &Session) -> Value {
        let id = session.accepted.session.as_str();
        self.trial
            .wait_for_record(|record| record["event"] == event && record["session"] == id)
            .unwrap()
    }
}

/// How many connections each has taken. A guard looks at its upstreams before it listens,
/// so this is taken when it does.
fn counts<const N: usize>(upstreams: [&Upstream; N]) -> [usize; N] {
    upstreams.map(Upstream::accepted)
}

fn port(upstream: &Upstream) -> u16 {
    upstream.address().port()
}

fn wanted(upstream: &Upstream) -> Option<Wanted> {
    Some(Wanted::Port(port(upstream)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_warns_while_houdini_can_be_reached_past_it_and_only_then() {
    let hidden = Upstream::echo();
    let exposed = Upstream::echo_for_everybody();
    let settings = format!(
        "upstream = [\"127.0.0.1:{}\", \"127.0.0.1:{}\"]\n",
        port(&hidden),
        port(&exposed)
    );
    let bench = Bench::start(&settings).await;
    let log = &bench.guard.process;
    let line = log
        .wait_for_line(Stream::Err, "DANGER")
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(line.contains(&port(&exposed).to_string()), "{line}");
    bench.reaches(wanted(&hidden), &hidden).await;
    bench.reaches(wanted(&exposed), &exposed).await;
    for line in log.lines(Stream::Err) {
        let about = line.contains(&port(&hidden).to_string());
        assert!(!(about && line.contains("DANGER")), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_does_not_warn_while_houdini_is_on_loopback_only() {
    let hidden = Upstream::echo();
    let settings = format!("upstream = \"127.0.0.1:{}\"\n", port(&hidden));
    let mut bench = Bench::start(&settings).await;
    bench.reaches(None, &hidden).await;
    bench.guard.process.terminate();
    bench.guard.process.wait().unwrap();
    let log = bench.guard.process.text(Stream::Err);
    assert!(!log.contains("DANGER"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_also_warns_of_a_houdini_that_starts_later() {
    // The port is taken, so that nobody else takes it, and nothing listens there yet.
    let everywhere = TcpSocket::new_v4().unwrap();
    everywhere.bind((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
    let port = everywhere.local_addr().unwrap().port();
    let bench = Bench::start(&format!("upstream = \"127.0.0.1:{port}\"\n")).await;
    let everywhere = everywhere.listen(64).unwrap().into_std().unwrap();
    everywhere.set_nonblocking(false).unwrap();
    let exposed = Upstream::echo_on(everywhere);
    bench.reaches(None, &exposed).await;
    // It looks every half minute.
    poll_for(Duration::from_secs(90), "the warning", || {
        let log = bench.guard.process.text(Stream::Err);
        log.contains("DANGER").then_some(())
    })
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_lets_in_to_the_named_user_only() {
    let upstream = Upstream::echo();
    let listed = |user: &str| {
        format!(
            "upstream = \"127.0.0.1:{}\"\nupstream_user = \"{user}\"\n",
            port(&upstream)
        )
    };
    let own = rustix::process::geteuid().as_raw().to_string();
    let name = run(std::process::Command::new("id").arg("-un")).unwrap();
    for user in [own.as_str(), name.stdout.trim()] {
        let bench = Bench::start(&listed(user)).await;
        bench.reaches(None, &upstream).await;
    }
    let other = if own == "0" { UID } else { "root" };
    let bench = Bench::start(&listed(other)).await;
    let record = bench.refuses(None, Code::UpstreamOwner).await;
    let who = bench.alice.identity.to_string();
    assert_eq!(record["identity"], who, "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_refuses_its_own_user_lets_nobody_in_to_a_houdini_of_that_user() {
    let upstream = Upstream::echo();
    let address = upstream.address();
    // Without the setting the session is let in, so the setting is what refuses it.
    let bench = Bench::start(&format!("upstream = \"{address}\"\n")).await;
    bench.reaches(None, &upstream).await;
    drop(bench);
    let refusing = |settings: &str| format!("upstream = \"{address}\"\n{settings}\n");
    let own = rustix::process::geteuid().as_raw();
    for settings in [
        "refuse_own_user = true".to_owned(),
        // To name the guard's own user does not help.
        format!("refuse_own_user = true\nupstream_user = \"{own}\""),
    ] {
        let bench = Bench::start(&refusing(&settings)).await;
        bench.refuses(None, Code::UpstreamOwner).await;
        let introduction = bench.guard.process.text(Stream::Out);
        assert!(
            introduction.contains("the guard's own user; sessions are refused"),
            "{introduction}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_refuses_its_own_user_lets_in_to_another_one() {
    if !rustix::process::geteuid().is_root() {
        crate::not_run(
            "a_guard_that_refuses_its_own_user_lets_in_to_another_one",
            "root",
        );
        return;
    }
    let foreign = Foreign::start();
    let address = foreign.address;
    let bench = Bench::start(&format!(
        "upstream = \"{address}\"\nrefuse_own_user = true\n"
    ))
    .await;
    bench.open(None).await.unwrap().ping().await.unwrap();
}

/// A guard that expects Houdini to run as `user`, in front of a program of another one.
async fn before_foreign(foreign: &Foreign, user: &str) -> Bench {
    let address = foreign.address;
    let settings = format!("upstream = \"{address}\"\nupstream_user = \"{user}\"\n");
    Bench::start(&settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_session_reaches_a_program_of_another_user_on_houdinis_port() {
    if !rustix::process::geteuid().is_root() {
        crate::not_run(
            "nothing_of_a_session_reaches_a_program_of_another_user_on_houdinis_port",
            "root",
        );
        return;
    }
    let foreign = Foreign::start();
    let bench = before_foreign(&foreign, "root").await;
    let before = foreign.heard().len();
    let client = Client::new(bench.guard.address, Some(&bench.alice.credentials));
    // A client's first words come right behind its hello.
    let words = [&hello_for(&bench.alice.token, None)[..], b"secret"].concat();
    for _ in 0..3 {
        let attempt = client.try_hello(&words).await;
        let Came::Refused(refusal, true) = &attempt.came else {
            panic!("{attempt:?}");
        };
        assert_eq!(refusal.code, Code::UpstreamOwner.as_str(), "{refusal:?}");
    }
    for heard in &foreign.heard()[before..] {
        assert!(heard.starts_with("heard 0 bytes"), "{heard}");
    }
    drop(bench);
    // It is the user that was in the way, and nothing else.
    let bench = before_foreign(&foreign, UID).await;
    bench.open(None).await.unwrap().ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_looks_for_houdini_says_nothing_to_a_program_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        crate::not_run(
            "a_guard_that_looks_for_houdini_says_nothing_to_a_program_of_another_user",
            "root",
        );
        return;
    }
    let foreign = Foreign::start();
    let _bench = before_foreign(&foreign, "root").await;
    for heard in foreign.heard() {
        assert!(heard.starts_with("heard 0 bytes"), "{heard}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_a_houdini_of_the_guards_own_user_says_so_in_its_record() {
    let upstream = Upstream::echo();
    let settings = format!("upstream = \"127.0.0.1:{}\"\n", port(&upstream));
    let bench = Bench::start(&settings).await;
    let session = bench.reaches(None, &upstream).await;
    let opened = bench.record("opened", &session);
    assert_eq!(opened["shares_user"], true, "{opened}");
    drop(session);
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let foreign = Foreign::start();
    let bench = Bench::start(&format!("upstream = \"{}\"\n", foreign.address)).await;
    let mut session = bench.open(None).await.unwrap();
    session.ping().await.unwrap();
    let opened = bench.record("opened", &session);
    assert_ne!(opened["shares_user"], true, "{opened}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_a_range_leads_to_exactly_that_houdini() {
    let row = Upstream::echoes_in_a_row(3);
    let settings = format!(
        "upstream = \"127.0.0.1:{}-{}\"\n",
        port(&row[0]),
        port(&row[2])
    );
    let bench = Bench::start(&settings).await;
    let [first, second, third] = &row[..] else {
        panic!("three were asked for");
    };
    let mut expected = counts([first, second, third]);
    for (place, upstream) in row.iter().enumerate().rev() {
        let session = bench.reaches(wanted(upstream), upstream).await;
        let opened = bench.record("opened", &session);
        let named = opened["upstream"].as_str().unwrap();
        assert!(named.contains(&port(upstream).to_string()), "{opened}");
        expected[place] += 1;
        assert_eq!(counts([first, second, third]), expected);
    }
    // Without a word the first is meant.
    bench.reaches(None, &row[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_upstream_is_reached_by_its_name() {
    let (first, farm) = (Upstream::echo(), Upstream::echo());
    let settings = format!(
        "upstream = [\"{}\", {{ name = \"farm\", address = \"{}\" }}]\n",
        first.address(),
        farm.address()
    );
    let bench = Bench::start(&settings).await;
    let before = counts([&first, &farm]);
    bench
        .reaches(Some(Wanted::Name("farm".into())), &farm)
        .await;
    bench.reaches(None, &first).await;
    assert_eq!(counts([&first, &farm]), before.map(|count| count + 1));
    let wrong = Some(Wanted::Name("Farm".into()));
    bench.refuses(wrong, Code::UpstreamUnknown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_not_in_the_grant_is_refused() {
    let row = Upstream::echoes_in_a_row(2);
    let farm = Upstream::echo();
    let settings = format!(
        "upstream = [\"127.0.0.1:{}-{}\", {{ name = \"farm\", address = \"{}\" }}]\n",
        port(&row[0]),
        port(&row[1]),
        farm.address()
    );
    let granted = port(&row[1]).to_string();
    let bench = Bench::inviting(&settings, &["--upstream", &granted]).await;
    let others = counts([&row[0], &farm]);
    bench.reaches(wanted(&row[1]), &row[1]).await;
    let by_name = || Some(Wanted::Name("farm".into()));
    for not_granted in [wanted(&row[0]), by_name()] {
        bench.refuses(not_granted, Code::UpstreamNotGranted).await;
    }
    assert_eq!(counts([&row[0], &farm]), others);
    // A later grant says anew which.
    let grant = |to: &str| {
        let args = ["grant", "alice", "--upstream", to];
        bench.trial.certs(&args).unwrap_or_else(|e| panic!("{e}"))
    };
    grant("farm");
    let session = bench.reaches(by_name(), &farm).await;
    let before = row[1].accepted();
    bench
        .refuses(wanted(&row[1]), Code::UpstreamNotGranted)
        .await;
    assert_eq!(row[1].accepted(), before);
    drop(session);
    grant("any");
    bench.reaches(wanted(&row[0]), &row[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_on_an_upstream_that_is_no_longer_granted_is_cut() {
    let (first, second) = (Upstream::echo(), Upstream::echo());
    let settings = format!(
        "upstream = [\"{}\", \"{}\"]\n",
        first.address(),
        second.address()
    );
    let bench = Bench::start(&settings).await;
    let mut cut = bench.reaches(wanted(&first), &first).await;
    let mut kept = bench.reaches(wanted(&second), &second).await;
    let granted = port(&second).to_string();
    bench
        .trial
        .certs(&["grant", "alice", "--upstream", &granted])
        .unwrap_or_else(|e| panic!("{e}"));
    let mut rest = Vec::new();
    let end = cut.stream.read_to_end(&mut rest);
    let end = tokio::time::timeout(e2e::programs::DEADLINE, end).await;
    assert!(end.is_ok(), "the session lives on");
    let closed = bench.record("closed", &cut);
    assert_eq!(closed["reason"], Code::SessionChanged.as_str(), "{closed}");
    kept.ping().await.unwrap();
    bench
        .refuses(wanted(&first), Code::UpstreamNotGranted)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_down_takes_nobody_to_another_one() {
    let (down, up) = (free_address().unwrap(), Upstream::echo());
    let settings = format!("upstream = [\"{down}\", \"{}\"]\n", up.address());
    let bench = Bench::start(&settings).await;
    let before = up.accepted();
    bench.refuses(None, Code::UpstreamDown).await;
    assert_eq!(up.accepted(), before);
    bench.reaches(wanted(&up), &up).await;
}
