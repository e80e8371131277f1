//! Several processes at once, and one that is killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use hrpyc_certs::IssueError;
use jiff::Timestamp;
use wire::Secret;

use crate::studio::{Machine, Studio, der, full, open_authority, redeem};

/// Started by the tests below, in a process of its own: takes a state directory, an
/// invite's secret and a key from standard input, and redeems.
#[test]
#[ignore = "a part of other tests"]
fn child_that_redeems() {
    let mut lines = std::io::stdin().lines().map(Result::unwrap);
    let path = lines.next().unwrap();
    let secret: [u8; 16] = unhex(&lines.next().unwrap()).try_into().unwrap();
    let key = Secret::new(unhex(&lines.next().unwrap()));
    let key = Secret::new(String::from_utf8(key.expose().clone()).unwrap());
    let machine = Machine {
        request: wire::keypair::request(&key).unwrap(),
        key,
    };
    let authority = open_authority(path.as_ref());
    println!("\nready");
    // All start when the last line comes.
    lines.next();
    match redeem(&authority, &secret, &machine) {
        Ok(issued) => println!("\nissued {}", wire::hex(&der(&issued))),
        Err(IssueError::InviteUsed { .. }) => println!("\nused"),
        Err(error) => println!("\nfailed {error}"),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

struct Redeemer {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Redeemer {
    fn start(studio: &Studio, secret: &[u8; 16], machine: &Machine) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "--nocapture",
                "processes::child_that_redeems",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = format!(
            "{}\n{}\n{}\n",
            studio.path().display(),
            wire::hex(secret),
            wire::hex(machine.key.expose().as_bytes())
        );
        let stdin = child.stdin.as_mut().unwrap();
        stdin.write_all(lines.as_bytes()).unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    fn wait_for(&mut self, words: &[&str]) -> String {
        for line in (&mut self.output).lines() {
            let line = line.unwrap();
            if words.iter().any(|word| line.starts_with(word)) {
                return line;
            }
        }
        panic!("the process said none of {words:?}");
    }

    fn go(&mut self) {
        self.child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"go\n")
            .unwrap();
    }
}

impl Drop for Redeemer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn certificates(studio: &Studio) -> usize {
    let entry = studio
        .authority
        .show(&studio.who("alice"), Timestamp::now())
        .unwrap();
    entry.map_or(0, |entry| entry.devices.len())
}

#[test]
fn fifty_keys_at_once_get_one_certificate() {
    let studio = Studio::new();
    let secret = studio.invite("alice", &full());
    let mut others: Vec<_> = (0..10)
        .map(|_| Redeemer::start(&studio, &secret, &Machine::new()))
        .collect();
    for other in &mut others {
        other.wait_for(&["ready"]);
    }
    let machines: Vec<_> = (0..40).map(|_| Machine::new()).collect();
    let mut issued = std::thread::scope(|scope| {
        let threads: Vec<_> = machines
            .iter()
            .map(|machine| scope.spawn(|| redeem(&studio.authority, &secret, machine)))
            .collect();
        for other in &mut others {
            other.go();
        }
        threads
            .into_iter()
            .map(|thread| match thread.join().unwrap() {
                Ok(_) => 1,
                Err(IssueError::InviteUsed { .. }) => 0,
                Err(error) => panic!("{error}"),
            })
            .sum::<usize>()
    });
    for other in &mut others {
        let said = other.wait_for(&["issued", "used", "failed"]);
        assert!(!said.starts_with("failed"), "{said}");
        issued += usize::from(said.starts_with("issued"));
    }
    assert_eq!(issued, 1);
    assert_eq!(certificates(&studio), 1);
}

#[test]
fn who_is_killed_while_redeeming_gets_through_on_retry() {
    for round in 0..8_u32 {
        let studio = Studio::new();
        let secret = studio.invite("alice", &full());
        let machine = Machine::new();
        let mut redeemer = Redeemer::start(&studio, &secret, &machine);
        redeemer.wait_for(&["ready"]);
        redeemer.go();
        // Somewhere in the transaction, before it or after it.
        std::thread::sleep(std::time::Duration::from_micros(u64::from(round) * 700));
        redeemer.child.kill().unwrap();
        redeemer.child.wait().unwrap();
        assert!(certificates(&studio) <= 1);
        let first = redeem(&studio.authority, &secret, &machine).unwrap();
        let second = redeem(&studio.again(), &secret, &machine).unwrap();
        assert_eq!(der(&first), der(&second));
        assert_eq!(certificates(&studio), 1);
    }
}

#[test]
fn readers_are_not_held_up_by_a_writer() {
    use hrpyc_certs::TrustStore as _;

    let studio = Studio::new();
    studio.join("alice");
    let writer = rusqlite::Connection::open(studio.path().join("store.db")).unwrap();
    writer
        .execute_batch("BEGIN IMMEDIATE; UPDATE meta SET sequence = sequence + 1")
        .unwrap();
    // Waiting for the writer would take five seconds and fail.
    let before = studio.authority.sequence().unwrap();
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(studio.authority.sequence().unwrap(), before + 1);
}
