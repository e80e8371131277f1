//! A guard at work and all who have to do with it: their lives, one after another.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use e2e::forge::certificate::fresh_key;
use e2e::forge::client::{Came, hello};
use e2e::forge::enrol::{self, Member};
use e2e::forge::site::Site;
use e2e::programs::{Running, poll, run};
use serde_json::Value;
use wire::Code;

use super::clients::{self, Talk};
use super::ledger::Ledger;
use super::operator::Killer;
use super::{kill_while_it_starts, scene};

/// Files turn over some times a second, and the oldest are removed.
const AUDIT: &str =
    "[audit]\nmax_bytes = 65536\nkeep = 16\ncheckpoint_records = 50\ncheckpoint_every = \"1s\"\n";

/// Commands that are begun in one life of the guard.
const COMMANDS: usize = 3;
/// How long the guard works at most after those until it is killed, as a rule.
const WORK: Duration = Duration::from_millis(50);
/// And now and then: long enough for what is queued to have been written.
const LONG_WORK: Duration = Duration::from_millis(1500);

/// A guard, and all who have to do with it.
pub(super) struct Studio {
    pub(super) site: Site,
    pub(super) killer: Killer,
    pub(super) ledger: Ledger,
    /// Numbers for names and dates.
    pub(super) count: usize,
    /// Lives of the guard, and commands that were begun in them.
    rounds: usize,
    pub(super) commands: usize,
    /// The last heads of both logs that the guard has sent outside.
    pub(super) heads: Vec<String>,
}

/// What those who were connected were told.
pub(super) struct Told {
    pub(super) talks: Vec<Talk>,
    pub(super) sessions: Vec<String>,
    pub(super) killed: Instant,
}

impl Studio {
    /// Some artists, and an audit that has been signed once.
    pub(super) async fn new(killer: Killer) -> Self {
        let site = Site::before(scene::scene(), AUDIT);
        let mut studio = Self {
            site,
            killer,
            ledger: Ledger::default(),
            count: 0,
            rounds: 0,
            commands: 0,
            heads: Vec::new(),
        };
        for _ in 0..4 {
            studio.invite();
        }
        studio.join_all().await;
        studio.wait_for_signatures().await;
        studio
    }

    /// Before a guard has signed something for the first time, a second after it was written,
    /// nobody can say of a log whose it is.
    async fn wait_for_signatures(&mut self) {
        let (_, member) = self.some_members().swap_remove(0);
        let client = self.site.client(&member.credentials);
        let mut session = client.open(&hello(&member.token)).await.unwrap();
        scene::begin(&mut session).await.unwrap();
        scene::call(&mut session, 0).await.unwrap();
        let state = self.site.trial.state_dir();
        poll("the first signatures", || {
            let verify = self.site.trial.audit_command(&state, &["verify", "--json"]);
            let verified = run(&mut verify.unwrap()).unwrap().success().ok()?;
            let verified: Value = serde_json::from_str(&verified.stdout).unwrap();
            let both = verified["verified"].as_array().unwrap();
            both.iter()
                .all(|log| log["checkpoint"].is_u64())
                .then_some(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
    }

    /// One life of the guard: work, death, a look at what is left, and a start.
    pub(super) async fn round(&mut self) {
        let told = self.work_and_kill().await;
        self.check(Some(&told));
        self.rounds += 1;
        if self.rounds.is_multiple_of(3) {
            self.kill_starting();
            self.check(None);
        }
        self.site.start_again();
        self.ledger.check_journal(&self.site.trial.state_dir());
        self.finish_what_was_begun().await;
        self.check_access().await;
    }

    /// Everybody works while the operator's commands are killed; then the guard is.
    async fn work_and_kill(&mut self) -> Told {
        for _ in 0..2 {
            self.invite();
        }
        let guard = self.site.address();
        let some = self.some_members();
        let pause = self.killer.dice.moment(Duration::from_millis(20));
        let talks = [0, 1].map(|at| tokio::spawn(clients::talk(guard, some[at].1.clone())));
        let coming = tokio::spawn(clients::come_and_go(guard, some[2].1.clone()));
        let renewing = tokio::spawn(clients::renew(guard, some[1].1.clone(), pause));
        let work = if self.killer.dice.once_in(8) {
            self.killer.dice.moment(LONG_WORK)
        } else {
            self.killer.dice.moment(WORK)
        };
        let sent = std::mem::take(&mut self.ledger.sent);
        let moments: Vec<_> = sent.iter().map(|_| self.killer.dice.moment(work)).collect();
        let joining = tokio::spawn(async move {
            let mut answers = Vec::new();
            for (sent, moment) in sent.into_iter().zip(moments) {
                tokio::time::sleep(moment).await;
                let answer = clients::join(guard, &sent.invite, &sent.key).await;
                answers.push((sent, answer));
            }
            answers
        });
        // Not while those who are needed above would be revoked.
        let busy: BTreeSet<String> = some.iter().map(|(name, _)| name.clone()).collect();
        for _ in 0..COMMANDS {
            self.command(&busy);
        }
        tokio::time::sleep(work).await;
        self.note_heads();
        if self.rounds % 4 == 3 {
            self.wait_for_another_file().await;
        }
        self.site.kill();
        let killed = Instant::now();
        self.killer.killed("the guard at work");
        self.note_heads();

        let mut told = Told {
            talks: Vec::new(),
            sessions: coming.await.unwrap(),
            killed,
        };
        for talk in talks {
            told.talks.extend(talk.await.unwrap());
        }
        for issued in renewing.await.unwrap() {
            let key = some[1].1.credentials.key_pair();
            self.ledger.issued(&some[1].0, &issued, &key);
        }
        for (sent, answer) in joining.await.unwrap() {
            match answer {
                Some(issued) => self.ledger.issued(&sent.name, &issued, &sent.key),
                None => self.ledger.sent.push(sent),
            }
        }
        if !self.ledger.sent.is_empty() {
            self.killer.found("an enrolment without an answer");
        }
        told
    }

    /// Waits until the log of calls is just being turned over, some seconds at most.
    async fn wait_for_another_file(&mut self) {
        let end = Instant::now() + Duration::from_secs(3);
        let files = || {
            let folder = self.site.trial.state_dir().join("audit");
            let names = std::fs::read_dir(folder).unwrap();
            let names = names.map(|entry| entry.unwrap().file_name());
            let closed = |name: &OsString| name.to_string_lossy().starts_with("calls-");
            names.filter(closed).collect::<BTreeSet<_>>()
        };
        let before = files();
        while files().is_subset(&before) && Instant::now() < end {
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    }

    /// Three who may come, in no order.
    fn some_members(&mut self) -> Vec<(String, Member)> {
        let mut all: Vec<_> = self.ledger.members.clone().into_iter().collect();
        assert!(all.len() >= 4, "{} are left", all.len());
        (0..3)
            .map(|_| all.swap_remove(self.killer.dice.below(all.len())))
            .collect()
    }

    pub(super) fn next_name(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}{}", self.count)
    }

    fn kill_starting(&mut self) {
        const WHAT: &str = "the guard while it starts";
        let (address, upstream) = (self.site.address(), self.site.upstream.address());
        let config = self.site.trial.folder().join("guard.toml");
        let extra = ["--config", config.to_str().unwrap()];
        let trial = &self.site.trial;
        let command = trial.guard_command(&address.to_string(), &upstream.to_string(), &extra);
        let guard = Running::start(&mut command.unwrap()).unwrap();
        kill_while_it_starts(&mut self.killer, WHAT, guard);
    }

    /// Lost answers are asked for again, and there are enough people for the next round.
    async fn finish_what_was_begun(&mut self) {
        self.join_all().await;
        while self.ledger.members.len() < 7 {
            self.invite();
            self.join_all().await;
        }
    }

    pub(super) fn invite(&mut self) {
        let name = self.next_name("m");
        let invite = self.site.invite(&name, &[]);
        self.ledger.invited(&name, invite, fresh_key());
    }

    /// Everybody with a code gets in, with the same key twice if need be.
    async fn join_all(&mut self) {
        for sent in std::mem::take(&mut self.ledger.sent) {
            let issued = clients::join(self.site.address(), &sent.invite, &sent.key).await;
            let issued = issued.unwrap_or_else(|| panic!("{} got no answer", sent.name));
            self.ledger.issued(&sent.name, &issued, &sent.key);
        }
    }

    /// Who may come gets in, who was revoked does not, and cannot renew.
    async fn check_access(&mut self) {
        let (name, member) = self.some_members().swap_remove(0);
        let client = self.site.client(&member.credentials);
        match client.open(&hello(&member.token)).await {
            Ok(mut session) => scene::begin(&mut session).await.unwrap(),
            Err(attempt) => panic!("{name} is not let in: {attempt:?}\n{}", self.site.log()),
        }
        let revoked: Vec<_> = self.ledger.revoked.iter().collect();
        for _ in 0..revoked.len().min(2) {
            let (name, member) = revoked[self.killer.dice.below(revoked.len())];
            let client = self.site.client(&member.credentials);
            let attempts = [
                client.try_hello(&hello(&member.token)).await,
                enrol::renew(self.site.address(), &member.credentials, None).await,
            ];
            for attempt in attempts {
                let Came::Refused(refusal, _) = &attempt.came else {
                    panic!("{name} is revoked and was answered {:?}", attempt.came);
                };
                assert_eq!(refusal.code, Code::CertificateRevoked.as_str(), "{name}");
            }
        }
    }

    /// After the last round the guard stops in order, and everything holds together.
    pub(super) fn end(&mut self) {
        self.site.guard().process.terminate();
        self.site.guard().process.wait().unwrap();
        self.note_heads();
        self.check(None);
        assert!(!self.site.log().contains("alarm"), "{}", self.site.log());
    }
}
