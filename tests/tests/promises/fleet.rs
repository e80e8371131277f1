//! A second workstation under the first one's authority: one invite for each artist, one
//! revocation for all guards.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::forge::certificate::fresh_key;
use e2e::forge::client::{Came, Client, Session, hello};
use e2e::forge::enrol::{Member, redeem, request};
use e2e::forge::impostor::stolen_from;
use e2e::forge::site::Site;
use e2e::forge::upstream::Upstream;
use e2e::programs::{DEADLINE, Guard, Stream, free_address, run, run_with_input};
use wire::Code;
use wire::tls::ALPN_FOLLOW;

/// The second workstation.
pub(crate) struct Second {
    guard: Guard,
    upstream: Upstream,
    state: PathBuf,
}

impl Second {
    pub(crate) async fn join(site: &Site) -> Self {
        let address = free_address().unwrap();
        let code = guard_invite(site, site.address());
        let joined = run_with_input(&mut join_command(site, "-", address), &code).unwrap();
        joined.success().unwrap_or_else(|e| panic!("{e}"));
        Self::start(site, address)
    }

    /// Starts it where it has joined.
    pub(crate) fn start(site: &Site, address: SocketAddr) -> Self {
        let upstream = Upstream::echo();
        let state = second_state(site);
        let guard = Self::launch(site, address, &upstream, &state);
        Self {
            guard,
            upstream,
            state,
        }
    }

    fn launch(site: &Site, address: SocketAddr, upstream: &Upstream, state: &Path) -> Guard {
        let mut command = site.trial.command("hrpyc-guard").unwrap();
        command
            .args(["--listen", &address.to_string()])
            .args(["--upstream", &upstream.address().to_string()])
            .arg("--state-dir")
            .arg(state);
        Guard::start(&mut command).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Stops it in order, and starts it again.
    fn restart(&mut self, site: &Site) {
        self.guard.process.terminate();
        self.guard.process.wait().unwrap();
        self.guard = Self::launch(site, self.guard.address, &self.upstream, &self.state);
    }

    fn client(&self, who: &Member) -> Client {
        Client::new(self.guard.address, Some(&who.credentials))
    }

    /// Waits until somebody is refused with this code, and checks that nothing is dialled
    /// from then on.
    async fn refuses(&self, who: &Member, code: Code) {
        let (client, words) = (self.client(who), hello(&who.token));
        let end = Instant::now() + DEADLINE;
        while let Ok(mut session) = client.open(&words).await {
            let _ = session.ping().await;
            assert!(Instant::now() < end, "they are let in all the time");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let before = self.upstream.accepted();
        for _ in 0..5 {
            let attempt = client.try_hello(&words).await;
            let Came::Refused(refusal, true) = attempt.came else {
                panic!("{attempt:?}");
            };
            assert_eq!(refusal.code, code.as_str(), "{refusal:?}");
        }
        assert_eq!(self.upstream.accepted(), before);
    }
}

/// The second workstation's state directory.
pub(crate) fn second_state(site: &Site) -> PathBuf {
    site.trial.folder().join("ws13")
}

/// `hrpyc-guard join CODE`, on the second workstation.
pub(crate) fn join_command(site: &Site, code: &str, advertise: SocketAddr) -> Command {
    let mut command = site.trial.command("hrpyc-guard").unwrap();
    command
        .args(["join", code, "--advertise", &advertise.to_string()])
        .arg("--state-dir")
        .arg(second_state(site));
    command
}

/// An invite for the second workstation. Guards have no role.
pub(crate) fn guard_invite(site: &Site, authority: SocketAddr) -> String {
    let address = authority.to_string();
    let printed = site.certs(&["invite", "guard/ws13", "--guard", &address]);
    printed["code"].as_str().unwrap().to_owned()
}

/// Lets somebody in at the second guard, which may learn of them a moment later.
pub(crate) async fn open(second: &Second, who: &Member) -> Session {
    let end = Instant::now() + DEADLINE;
    loop {
        match second.client(who).open(&hello(&who.token)).await {
            // An echo shows that the upstream has counted it.
            Ok(mut session) => {
                session.ping().await.expect("the upstream answers");
                return session;
            }
            Err(attempt) => assert!(
                Instant::now() < end,
                "{attempt:?}\n{}",
                second.guard.process.text(Stream::Err)
            ),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artist_invited_once_reaches_both_workstations() {
    let site = Site::start();
    let early = site.member("alice").await;
    let second = Second::join(&site).await;
    let late = site.member("bob").await;
    for who in [&early, &late] {
        site.open(who).await;
        open(&second, who).await.ping().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_at_the_authority_cuts_at_the_second_guard_within_one_second() {
    let site = Site::start();
    let second = Second::join(&site).await;
    for run in 0..5 {
        let name = format!("artist{run}");
        let member = site.member(&name).await;
        let mut session = open(&second, &member).await;
        let before = second.upstream.accepted();
        let traffic = tokio::spawn(async move {
            while session.ping().await.is_ok() {}
            Instant::now()
        });
        tokio::task::block_in_place(|| {
            site.certs(&["revoke", &name, "--why", "left the show"]);
        });
        let revoked = Instant::now();
        let end = tokio::time::timeout(DEADLINE, traffic);
        let end = end.await.expect("the session is cut").unwrap();
        let late = end.saturating_duration_since(revoked);
        assert!(late < Duration::from_secs(1), "cut after {late:?}");

        let attempt = second
            .client(&member)
            .try_hello(&hello(&member.token))
            .await;
        let Came::Refused(refusal, true) = attempt.came else {
            panic!("{attempt:?}");
        };
        assert_eq!(refusal.code, Code::CertificateRevoked.as_str());
        assert_eq!(second.upstream.accepted(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_joins_at_the_second_guard() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let second = Second::join(&site).await;
    open(&second, &alice).await;
    let invite = site.invite("bob", &[]);
    let key = fresh_key();
    let request = request(&key);
    let attempt = redeem(second.guard.address, &invite, &request).await;
    let Came::Refused(refusal, _) = attempt.came else {
        panic!("{attempt:?}");
    };
    assert_eq!(refusal.code, Code::NotTheAuthority.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guards_certificate_is_no_way_in_at_another_guard() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let second = Second::join(&site).await;
    open(&second, &alice).await;
    let stolen = stolen_from(&site.trial.folder().join("ws13"));
    let before = site.upstream.accepted();
    let attempt = site.client(&stolen).try_hello(&hello(&alice.token)).await;
    site.assert_refused(&attempt, Code::CertificateUsage, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artists_invite_does_not_make_a_guard() {
    let site = Site::start();
    let code = site.trial.invite(site.address(), "alice", &[]).unwrap();
    let state = site.trial.folder().join("ws13");
    let mut command = site.trial.command("hrpyc-guard").unwrap();
    command
        .args(["join", "-", "--advertise", "127.0.0.1:1"])
        .arg("--state-dir")
        .arg(&state);
    let refused = run_with_input(&mut command, &code).unwrap();
    let refused = refused.with_code(1).unwrap_or_else(|e| panic!("{e}"));
    assert!(refused.stderr.contains("error: "), "{}", refused.stderr);
    assert!(!state.join("guard.crt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guards_invite_does_not_make_an_artist() {
    let site = Site::start();
    let code = guard_invite(&site, site.address());
    let mut command = site.trial.agent_command("alice").unwrap();
    let refused = run_with_input(command.args(["join", "-"]), &code).unwrap();
    let refused = refused.with_code(1).unwrap_or_else(|e| panic!("{e}"));
    assert!(refused.stderr.contains("error: "), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_guard_fails_closed_without_its_authority_for_those_it_does_not_know() {
    let mut site = Site::start();
    let alice = site.member("alice").await;
    let second = Second::join(&site).await;
    let mut session = open(&second, &alice).await;
    let late = site.member("bob").await;
    site.certs(&["revoke", "bob", "--why", "at once"]);
    site.stop();
    session.ping().await.unwrap();
    let before = second.upstream.accepted();
    let attempt = second.client(&late).try_hello(&hello(&late.token)).await;
    assert!(matches!(attempt.came, Came::Refused(..)), "{attempt:?}");
    assert_eq!(second.upstream.accepted(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_guard_cannot_be_started_before_it_has_joined() {
    let site = Site::start();
    // The authority's own directory is not the second guard's either.
    let mut command = site.trial.command("hrpyc-guard").unwrap();
    let up = site.upstream.address().to_string();
    command
        .args([
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            &up,
            "--name",
            "ws13",
        ])
        .arg("--state-dir")
        .arg(site.trial.state_dir());
    let refused = run(&mut command).unwrap();
    let refused = refused.with_code(1).unwrap_or_else(|e| panic!("{e}"));
    assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_a_guard_may_follow_the_store() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let second = Second::join(&site).await;
    open(&second, &alice).await;
    let before = site.upstream.accepted();
    let curious = site.client(&alice.credentials).offering(&[ALPN_FOLLOW]);
    let attempt = curious.try_silence().await;
    site.assert_recorded(&attempt, Code::CertificateUsage, before);
    // No artist's program speaks this, so a bare end will do; the grants of others will not.
    assert!(
        matches!(
            attempt.came,
            Came::Refused(..) | Came::Alert(_) | Came::Nothing
        ),
        "{attempt:?}"
    );
    let nobody = Client::new(site.address(), None).offering(&[ALPN_FOLLOW]);
    let attempt = nobody.try_silence().await;
    site.assert_recorded(&attempt, Code::CertificateMissing, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_guard_may_not_follow_the_store() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let second = Second::join(&site).await;
    open(&second, &alice).await;
    let stolen = stolen_from(&site.trial.folder().join("ws13"));
    site.certs(&["revoke", "guard/ws13", "--why", "stolen workstation"]);
    let before = site.upstream.accepted();
    let follower = site.client(&stolen).offering(&[ALPN_FOLLOW]);
    let attempt = follower.try_silence().await;
    let record = site.assert_recorded(&attempt, Code::CertificateRevoked, before);
    assert!(record["identity"].as_str().unwrap().ends_with("guard/ws13"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_guard_that_starts_without_its_authority_lets_nobody_in_until_it_is_back() {
    let mut site = Site::start();
    let alice = site.member("alice").await;
    let mut second = Second::join(&site).await;
    open(&second, &alice).await;
    site.stop();
    second.restart(&site);
    second.refuses(&alice, Code::StoreUnavailable).await;
    site.start_again();
    open(&second, &alice).await.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_guard_complains_only_of_an_authority_that_is_not_there() {
    let mut site = Site::start();
    let mut second = Second::join(&site).await;
    let says = |second: &Second, sentence| {
        let said = second.guard.process.wait_for_line(Stream::Err, sentence);
        said.unwrap_or_else(|e| panic!("{e}"));
    };
    says(&second, "who has access is known");
    let log = second.guard.process.text(Stream::Err);
    assert!(!log.contains("ERROR") && !log.contains("cannot"), "{log}");
    site.stop();
    second.restart(&site);
    says(&second, "cannot be followed");
    says(&second, "the trust store cannot be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_new_gets_in_at_a_revoked_guard() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let mut second = Second::join(&site).await;
    open(&second, &alice).await;
    site.certs(&["revoke", "guard/ws13", "--why", "stolen workstation"]);
    second.refuses(&alice, Code::StoreUnavailable).await;
    // Nor when it is started anew, and the authority's own guard is as before.
    second.restart(&site);
    second.refuses(&alice, Code::StoreUnavailable).await;
    site.open(&alice).await;
}
