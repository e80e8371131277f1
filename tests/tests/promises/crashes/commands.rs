//! The operator's commands, and an agent that joins: which of them, and what was told of them.

use std::collections::BTreeSet;

use e2e::forge::certificate::fresh_key;
use e2e::programs::{Running, run_with_input};
use jiff::Span;
use jiff::civil::{Date, date};

use super::operator::Carried;
use super::studio::Studio;

impl Studio {
    /// The next command, which is killed or comes to its end.
    pub(super) fn command(&mut self, busy: &BTreeSet<String>) {
        self.commands += 1;
        match self.commands % 5 {
            0 => self.kill_invite(),
            1 => self.kill_issue(),
            2 => self.kill_grant(),
            3 => self.kill_revoke(busy),
            _ => self.kill_join(),
        }
    }

    fn kill_invite(&mut self) {
        let name = self.next_name("a");
        let guard = self.site.address().to_string();
        let args = ["invite", &name, "--role", "full", "--guard", &guard];
        if let Some(printed) = self.killer.certs(&self.site.trial, "invite", &args) {
            let code = printed["code"].as_str().unwrap();
            self.ledger
                .invited(&name, code.parse().unwrap(), fresh_key());
        }
    }

    fn kill_issue(&mut self) {
        let name = self.next_name("i");
        let carried = Carried::new(&self.site.trial, &name);
        let (request, out) = (carried.request.to_str(), carried.out.to_str());
        let mut args = vec!["issue", &name, "--role", "full", "--csr", request.unwrap()];
        args.extend(["--out", out.unwrap()]);
        let done = self.killer.certs(&self.site.trial, "issue", &args);
        let pem = std::fs::read_to_string(&carried.out).unwrap_or_default();
        if pem.contains("-----END CERTIFICATE-----") {
            self.ledger.carried(&pem);
            if done.is_none() {
                self.killer.found("a certificate of a killed issue");
            }
        } else {
            assert!(done.is_none(), "it was said to be issued, and is not there");
        }
    }

    fn kill_grant(&mut self) {
        let members: Vec<String> = self.ledger.members.keys().cloned().collect();
        let name = &members[self.killer.dice.below(members.len())];
        self.count += 1;
        let end = later(self.count).to_string();
        let until = format!("{end} 18:00");
        let args = ["grant", name, "--access-until", &until];
        let done = self.killer.certs(&self.site.trial, "grant", &args);
        self.ledger.granted(name, &end, done.is_some());
    }

    fn kill_revoke(&mut self, busy: &BTreeSet<String>) {
        let members = self.ledger.members.keys();
        let free: Vec<String> = members
            .filter(|name| !busy.contains(*name))
            .cloned()
            .collect();
        // Enough must be left to work.
        if free.len() < 3 {
            return;
        }
        let name = &free[self.killer.dice.below(free.len())];
        let args = ["revoke", name, "--why", "left the show"];
        let done = self.killer.certs(&self.site.trial, "revoke", &args);
        let member = self.ledger.members.remove(name).unwrap();
        let fate = match done {
            Some(_) => &mut self.ledger.revoked,
            None => &mut self.ledger.undecided,
        };
        fate.insert(name.clone(), member);
    }

    /// Kills an agent that joins; the same code brings it in afterwards.
    fn kill_join(&mut self) {
        let name = self.next_name("j");
        let code = self.site.trial.invite(self.site.address(), &name, &[]);
        let code = code.unwrap_or_else(|e| panic!("{e}"));
        let mut join = self.site.trial.agent_command(&name).unwrap();
        join.args(["join", "-"]);
        let running = Running::start_with_input(&mut join, &code).unwrap();
        if self.killer.kill("join", running).is_none() {
            let again = run_with_input(&mut join, &code).unwrap();
            // Killed when all was done, it has joined already.
            if again.code != Some(0) {
                let said = &again.stderr;
                assert!(said.contains("there is a profile"), "{said}");
                self.killer.found("a profile of a killed join");
            }
        }
        let status = self
            .site
            .trial
            .agent_command(&name)
            .unwrap()
            .arg("status")
            .output();
        let said = String::from_utf8(status.unwrap().stdout).unwrap();
        assert!(said.contains(&name), "{said}");
    }
}

/// A day, years from now.
fn later(days: usize) -> Date {
    let days = i64::try_from(days).unwrap();
    date(2031, 1, 1).saturating_add(Span::new().days(days))
}
