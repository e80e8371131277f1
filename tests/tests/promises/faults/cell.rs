//! One fault on one leg in one phase: what is done, and what is expected.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::forge::leg::{Gate, Leg, Way as Direction, until};
use e2e::forge::script::{Heard, Script};
use e2e::programs::DEADLINE;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::matrix::{Cell, Expect, OnLeg, Phase};
use super::way::{Audit, Way};

/// Silence for longer than anything in agent and guard waits for an answer.
const SILENCE: Duration = Duration::from_secs(11);
/// How soon an agent has let go of a session whose script has gone.
const LETS_GO: Duration = Duration::from_secs(3);
/// How often the kernel is asked who dials.
const LOOK: Duration = Duration::from_millis(200);
/// Of an answer that is stopped in the middle. The agent holds it until it is whole.
const HALF: usize = 20_000;

/// What a script waits for when the fault strikes.
enum Waiting {
    /// The answer to this request.
    Answer(u8),
    /// Nothing but this: the request is answered when the callback is.
    CalledBack(u8, u8),
    /// Nothing.
    Nothing,
}

/// A cell that is under way.
pub(super) struct Run {
    pub(super) cell: Cell,
    pub(super) way: Arc<Way>,
    pub(super) audit: Arc<Audit>,
    /// Connections of before on the leg that is struck.
    accepted: usize,
    /// Connections of before to the guard.
    dialled: usize,
}

impl Run {
    pub(super) fn new(cell: Cell, way: Arc<Way>, audit: Arc<Audit>) -> Self {
        Self {
            cell,
            way,
            audit,
            accepted: 0,
            dialled: 0,
        }
    }

    fn leg(&self) -> &Leg {
        match self.cell.leg {
            OnLeg::Script => &self.way.script,
            OnLeg::Agent => &self.way.agent,
            OnLeg::Guard => &self.way.guard,
        }
    }

    /// Everything, from a session that shows that the way is sound to what was given back.
    /// `draining` brings about the phase that concerns all; `turns` are for the first part.
    pub(super) async fn carry_out(
        mut self,
        turns: Arc<Semaphore>,
        draining: impl Future<Output = ()>,
    ) {
        let turn = turns.acquire().await;
        self.warm_up().await;
        drop(turn);
        if self.cell.expect == Expect::NotThere {
            let (_script, _) = self.reach(draining).await;
            let accepted = self.leg().accepted();
            assert_eq!(accepted, self.accepted, "there is a connection already");
            self.open_gates();
            return;
        }
        let (mut script, waits) = self.reach(draining).await;
        self.leg().strike(self.cell.fault);
        self.open_gates();
        let waits = self.go_on(&mut script, waits).await;
        let expect = self.cell.expect;
        match expect {
            Expect::NotThere => {}
            Expect::GoesOn(_) | Expect::Again(_) => {
                self.answered(&mut script, waits).await;
                let again = script.ping(b"again").await;
                self.answered(&mut script, again).await;
            }
            Expect::Answered(_) => {
                self.answered(&mut script, waits).await;
                self.ended(&mut script).await;
            }
            Expect::Ends(_) => self.ended(&mut script).await,
            Expect::Told(class, words, _) => {
                self.told(&mut script, waits, class, words).await;
            }
            Expect::Waits(_) => {
                let heard = script.hears(SILENCE).await;
                assert_eq!(heard, Heard::Silence, "something came");
            }
        }
        drop(script);
        if matches!(expect, Expect::Waits(_)) && self.cell.leg != OnLeg::Script {
            self.agent_lets_go().await;
        }
        self.leg().lift();
        self.recorded(expect.record()).await;
        self.way.until_given_back().await;
    }

    /// A session without a fault, so that what comes then comes of the fault.
    async fn warm_up(&mut self) {
        let mut script = self.connect().await;
        let root = script.ask_for_root().await;
        self.answered(&mut script, root).await;
        drop(script);
        self.recorded("client-closed").await;
        self.way.until_given_back().await;
        self.accepted = self.leg().accepted();
        self.dialled = self.way.agent.dialled().len();
    }

    /// Brings a session to the phase.
    async fn reach(&self, draining: impl Future<Output = ()>) -> (Script, Waiting) {
        let Way { agent, guard, .. } = &*self.way;
        match self.cell.phase {
            Phase::Handshake => agent.gate(Direction::Down, Gate::After(0)),
            Phase::Hello => agent.gate(Direction::Up, Gate::Encrypted(0)),
            Phase::Connect => guard.shut().await,
            _ => {}
        }
        let mut script = self.connect().await;
        let root = script.ask_for_root().await;
        match self.cell.phase {
            Phase::Handshake => agent.until_held(Direction::Down).await,
            Phase::Hello => {
                agent.until_held(Direction::Up).await;
                let before = agent.delivered(Direction::Down);
                agent.gate(Direction::Up, Gate::Encrypted(1));
                // A guard whose handshake is done sends a ticket.
                let done = || agent.delivered(Direction::Down) > before;
                until(done, || "the handshake is not done".into()).await;
                agent.until_held(Direction::Up).await;
            }
            Phase::Connect => until_dialled(guard.address()).await,
            _ => {
                self.answered(&mut script, root).await;
                let waits = self.reach_further(&mut script, draining).await;
                return (script, waits);
            }
        }
        (script, Waiting::Answer(root))
    }

    /// The phases of a session that has its first answer.
    async fn reach_further(
        &self,
        script: &mut Script,
        draining: impl Future<Output = ()>,
    ) -> Waiting {
        match self.cell.phase {
            Phase::MidFrame => {
                self.leg().gate(Direction::Down, Gate::After(HALF));
                let waits = script.ping(&noise(2 * HALF)).await;
                self.leg().until_held(Direction::Down).await;
                Waiting::Answer(waits)
            }
            Phase::Callback => {
                let waits = script.call_with_callback().await;
                let heard = script.hears(DEADLINE).await;
                let Heard::Call(callback) = heard else {
                    panic!("{heard:?} and no callback; {}", self.seen());
                };
                Waiting::CalledBack(waits, callback)
            }
            Phase::Drain => {
                draining.await;
                Waiting::Nothing
            }
            _ => Waiting::Nothing,
        }
    }

    fn open_gates(&self) {
        for leg in [&self.way.script, &self.way.agent, &self.way.guard] {
            leg.open_gates();
        }
        if self.cell.phase == Phase::Connect {
            self.way.guard.reopen();
        }
    }

    /// Does what a script does next, and gives the request that waits then. One that is about
    /// to see the end asks nothing, because it would be told in answer.
    async fn go_on(&self, script: &mut Script, waiting: Waiting) -> u8 {
        match waiting {
            Waiting::Answer(request) => request,
            Waiting::CalledBack(request, callback) => {
                script.return_from(callback).await;
                request
            }
            Waiting::Nothing if matches!(self.cell.expect, Expect::Ends(_)) => 0,
            Waiting::Nothing => script.ping(b"go on").await,
        }
    }

    async fn connect(&self) -> Script {
        let script = Script::connect(self.way.script.address()).await;
        script.expect("the leg takes connections")
    }

    async fn answered(&self, script: &mut Script, request: u8) {
        let heard = script.hears(DEADLINE).await;
        assert_eq!(heard, Heard::Answer(request), "{}", self.seen());
    }

    async fn ended(&self, script: &mut Script) {
        let heard = script.hears(DEADLINE).await;
        // The agent delivers whole messages or none; its own connection may end anywhere.
        let own = self.cell.leg == OnLeg::Script;
        let ended =
            matches!(heard, Heard::End) || own && matches!(heard, Heard::Reset | Heard::Torn);
        assert!(ended, "{heard:?} and no end; {}", self.seen());
    }

    async fn told(&self, script: &mut Script, request: u8, class: &str, words: &str) {
        let heard = script.hears(DEADLINE).await;
        let Heard::Raised(answered, raised, text) = &heard else {
            panic!("{heard:?} and no sentence; {}", self.seen());
        };
        assert_eq!((*answered, raised.as_str()), (request, class), "{text}");
        assert!(text.contains(words), "{words:?} is not in {text:?}");
        assert!(text.contains("hint: "), "no hint in {text:?}");
    }

    async fn agent_lets_go(&self) {
        let lets_go = until(|| self.way.agent.near_open() == 0, || "unreachable".into());
        let let_go = tokio::time::timeout(LETS_GO, lets_go).await;
        assert!(let_go.is_ok(), "the agent holds on to the guard");
    }

    /// Waits until the first connection after those of before is over for the guard, and looks
    /// how.
    async fn recorded(&self, expected: &str) {
        let over = || {
            let first = *self.way.agent.dialled().get(self.dialled)?;
            let mut records = self.audit.of(&[first]).into_iter();
            records.find(|record| record["event"] != "opened")
        };
        let otherwise = || format!("nothing is written down of its end; {}", self.seen());
        until(|| over().is_some(), otherwise).await;
        let record = over().unwrap();
        let why = record.get("reason").or(record.get("code"));
        let why = why.and_then(Value::as_str);
        assert_eq!(why, Some(expected), "{}", self.seen());
    }

    fn seen(&self) -> String {
        let all = self.way.agent.dialled();
        let ours = all.get(self.dialled..).unwrap_or_default();
        let records = self.audit.of(ours);
        let texts: Vec<String> = records.iter().map(Value::to_string).collect();
        format!("the audit has\n{}", texts.join("\n"))
    }
}

/// Bytes that no compression makes fewer.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..count).map(next).collect()
}

/// Waits until somebody's connection attempt to there is not answered (`SYN_SENT`).
async fn until_dialled(to: SocketAddr) {
    let SocketAddr::V4(v4) = to else {
        panic!("{to} is not IPv4");
    };
    let address = u32::from_le_bytes(v4.ip().octets());
    let wanted = format!(" {address:08X}:{:04X} 02 ", v4.port());
    // The kernel goes through all of its table for this file, so it is not read all the time.
    let mut looked = Instant::now() - LOOK;
    let dialled = || {
        if looked.elapsed() < LOOK {
            return false;
        }
        looked = Instant::now();
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        sockets.contains(&wanted)
    };
    until(dialled, || format!("nobody dials {to}")).await;
}
