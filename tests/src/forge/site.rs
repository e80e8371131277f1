//! A guard that runs in front of an upstream that counts, and what to expect of it.

use std::net::SocketAddr;

use rustix::process::Signal;
use serde_json::Value;
use wire::invite::Invite;
use wire::{Code, Refusal};

use super::certificate::Credentials;
use super::client::{Attempt, Came, Client, Session, hello};
use super::enrol::{self, Member};
use super::upstream::Upstream;
use crate::programs::{Guard, Stream, Trial, poll};

/// One guard with its state directory and its upstream. It goes away with the value. Where
/// nothing else is said, it lets the bytes of its sessions go by without looking at them.
#[derive(Debug)]
pub struct Site {
    guard: Option<Guard>,
    /// Who counts what arrives.
    pub upstream: Upstream,
    /// The folder and the commands of the operator.
    pub trial: Trial,
    extra: Vec<String>,
    address: SocketAddr,
}

impl Site {
    /// A guard as it comes.
    pub fn start() -> Self {
        Self::with_args(&[])
    }

    /// A guard with a configuration file of this content, which looks at its sessions as it
    /// comes.
    pub fn configured(toml: &str) -> Self {
        Self::before(Upstream::echo(), toml)
    }

    /// As [`Site::configured`], before an upstream of one's own.
    pub fn before(upstream: Upstream, toml: &str) -> Self {
        let trial = Trial::new().expect("a folder");
        let path = trial.folder().join("guard.toml");
        std::fs::write(&path, toml).expect("a configuration file");
        let path = path.to_str().expect("a path in UTF-8").to_owned();
        Self::launch(trial, upstream, vec!["--config".into(), path])
    }

    /// A guard with further arguments.
    pub fn with_args(extra: &[&str]) -> Self {
        let trial = Trial::opaque().expect("a folder");
        let extra = extra.iter().map(|arg| (*arg).to_owned()).collect();
        Self::launch(trial, Upstream::echo(), extra)
    }

    fn launch(trial: Trial, upstream: Upstream, extra: Vec<String>) -> Self {
        let args: Vec<&str> = extra.iter().map(String::as_str).collect();
        let guard = trial
            .start_guard(&upstream.address().to_string(), &args)
            .unwrap_or_else(|e| panic!("{e}"));
        Self {
            address: guard.address,
            guard: Some(guard),
            upstream,
            trial,
            extra,
        }
    }

    /// Where the guard listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process of the guard.
    ///
    /// # Panics
    /// When it was stopped.
    pub fn guard(&mut self) -> &mut Guard {
        self.guard.as_mut().expect("the guard runs")
    }

    /// Has the guard read its files anew, and waits until it has said so with these words.
    pub fn reload(&mut self, said: &str) {
        let process = &self.guard().process;
        let lines = process.lines(Stream::Err).len();
        process.signal(Signal::HUP);
        process
            .wait_for_line_after(Stream::Err, lines, said)
            .unwrap_or_else(|e| panic!("{e}"));
    }

    /// Everything that the guard has logged.
    pub fn log(&self) -> String {
        self.guard
            .as_ref()
            .map(|guard| guard.process.text(Stream::Err))
            .unwrap_or_default()
    }

    /// Stops the guard in order.
    pub fn stop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            guard.process.terminate();
            guard.process.wait().expect("the guard ends");
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            guard.process.kill();
        }
    }

    /// Starts it again, at the same address.
    pub fn start_again(&mut self) {
        let args: Vec<&str> = self.extra.iter().map(String::as_str).collect();
        let upstream = self.upstream.address().to_string();
        let guard = self
            .trial
            .start_guard_at(self.address, &upstream, &args)
            .unwrap_or_else(|e| panic!("{e}"));
        self.guard = Some(guard);
    }

    /// Runs `hrpyc-certs --json ARGS`.
    pub fn certs(&self, args: &[&str]) -> Value {
        self.trial.certs(args).unwrap_or_else(|e| panic!("{e}"))
    }

    /// An invite to this guard.
    pub fn invite(&self, name: &str, extra: &[&str]) -> Invite {
        let code = self
            .trial
            .invite(self.address, name, extra)
            .unwrap_or_else(|e| panic!("{e}"));
        code.parse().expect("an invite code")
    }

    /// Somebody who was invited and has joined.
    pub async fn member(&self, name: &str) -> Member {
        self.member_with(name, &[]).await
    }

    /// As [`Site::member`], with further arguments to the invite.
    pub async fn member_with(&self, name: &str, extra: &[&str]) -> Member {
        enrol::join(self.address, &self.invite(name, extra)).await
    }

    /// A client of theirs.
    pub fn client(&self, credentials: &Credentials) -> Client {
        Client::new(self.address, Some(credentials))
    }

    /// Lets somebody in.
    ///
    /// # Panics
    /// When the guard does not.
    pub async fn open(&self, member: &Member) -> Session {
        self.open_with(&member.credentials, &member.token).await
    }

    /// As [`Site::open`], with any certificate and token.
    ///
    /// # Panics
    /// When the guard does not let them in.
    pub async fn open_with(&self, credentials: &Credentials, token: &str) -> Session {
        match self.client(credentials).open(&hello(token)).await {
            Ok(mut session) => {
                session.ping().await.expect("the upstream answers");
                session
            }
            Err(attempt) => panic!(
                "an honest client was not let in: {:?}\nthe guard logged\n{}",
                attempt.came,
                self.log()
            ),
        }
    }

    /// The audit's record of a failed attempt.
    ///
    /// # Panics
    /// When there is none.
    pub fn refusal_record(&self, local: SocketAddr) -> Value {
        let peer = local.to_string();
        poll("the audit's record of the refusal", || {
            self.trial
                .audit()
                .ok()?
                .into_iter()
                .find(|record| record["event"] == "refused" && record["peer"] == peer)
        })
        .unwrap_or_else(|e| {
            panic!(
                "{e} for {peer}; the audit is {:#?}\nthe guard logged\n{}",
                self.trial.audit(),
                self.log()
            )
        })
    }

    /// The records of one kind of event.
    pub fn events(&self, event: &str) -> Vec<Value> {
        let mut records = self.trial.audit().unwrap_or_else(|e| panic!("{e}"));
        records.retain(|record| record["event"] == event);
        records
    }

    /// Checks that an attempt was refused with this code, at the client in a sentence, in
    /// the audit with its stage, and that nothing was dialled for it.
    ///
    /// `before` is the count of the upstream before the attempt.
    pub fn assert_refused(&self, attempt: &Attempt, code: Code, before: usize) -> Value {
        let refusal = self.assert_sentence(attempt, code);
        assert_ne!(refusal.sentence.trim(), "", "the sentence is empty");
        self.assert_recorded(attempt, code, before)
    }

    /// Checks only what the audit and the upstream saw.
    pub fn assert_recorded(&self, attempt: &Attempt, code: Code, before: usize) -> Value {
        let record = self.refusal_record(attempt.local);
        assert_eq!(record["code"], code.as_str(), "in {record}");
        assert_eq!(record["stage"], code.stage().as_str(), "in {record}");
        assert_eq!(
            self.upstream.accepted(),
            before,
            "the upstream was dialled for a client that was refused with {code}"
        );
        record
    }

    /// The refusal that the client read, which must have this code and an orderly end.
    pub fn assert_sentence<'a>(&self, attempt: &'a Attempt, code: Code) -> &'a Refusal {
        match &attempt.came {
            Came::Refused(refusal, orderly) => {
                assert_eq!(refusal.code, code.as_str(), "{refusal:?}");
                assert!(orderly, "no close_notify behind {refusal:?}");
                refusal
            }
            other => panic!(
                "{code} was expected, and {other:?} came\nthe guard logged\n{}",
                self.log()
            ),
        }
    }
}
