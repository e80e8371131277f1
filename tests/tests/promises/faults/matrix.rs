//! The table: what is expected of every fault, on every leg, in every phase.

use std::time::Duration;

use e2e::forge::leg::{Fault, Way};

use Expect::{Again, Answered, Ends, GoesOn, NotThere, Told, Waits};
use OnLeg::{Agent, Guard, Script};

/// Where something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnLeg {
    /// Between the artist's program and the agent.
    Script,
    /// Between agent and guard.
    Agent,
    /// Between guard and Houdini.
    Guard,
}

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The guard's part of the TLS handshake is on its way to the agent.
    Handshake,
    /// The handshake is done, and the hello is on its way to the guard.
    Hello,
    /// The guard dials Houdini, whose kernel has not answered.
    Connect,
    /// The script has had an answer, and asks for nothing.
    Idle,
    /// Half of an answer has come over the leg.
    MidFrame,
    /// Houdini has called the script back while the script's own call waits.
    Callback,
    /// The guard was told to stop, and the session may go on for a while.
    Drain,
}

const PHASES: [Phase; 7] = [
    Phase::Handshake,
    Phase::Hello,
    Phase::Connect,
    Phase::Idle,
    Phase::MidFrame,
    Phase::Callback,
    Phase::Drain,
];

/// What the script hears. The text at the end is what the guard's audit says of the connection
/// that was under way: the reason of its end, or the code of its refusal.
///
/// In every case everything is given back when the script has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// Nothing can happen: there is no connection on this leg yet.
    NotThere,
    /// Every call is answered.
    GoesOn(&'static str),
    /// Every call is answered, because the agent has begun anew by itself.
    Again(&'static str),
    /// What waited is answered, and then the connection ends.
    Answered(&'static str),
    /// The connection ends. No call waited, or it was the script's own end that was lost.
    Ends(&'static str),
    /// The call that waits raises this class, with these words in its sentence.
    Told(&'static str, &'static str, &'static str),
    /// Nothing comes, as of a Houdini that cooks, until the script has gone.
    Waits(&'static str),
}

impl Expect {
    /// What the audit says.
    pub(super) fn record(self) -> &'static str {
        match self {
            NotThere => "",
            GoesOn(record) | Again(record) | Answered(record) | Ends(record) => record,
            Told(_, _, record) | Waits(record) => record,
        }
    }
}

/// One place of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) leg: OnLeg,
    pub(super) fault: Fault,
    pub(super) phase: Phase,
    pub(super) expect: Expect,
}

/// All of them.
pub(super) fn cells() -> impl Iterator<Item = Cell> {
    MATRIX.iter().flat_map(|&(leg, fault, row)| {
        let columns = PHASES.into_iter().zip(row);
        columns.map(move |(phase, expect)| Cell {
            leg,
            fault,
            phase,
            expect,
        })
    })
}

const DELAY: Fault = Fault::Delay(Duration::from_millis(150));
const JITTER: Fault = Fault::Jitter(Duration::from_millis(200));
/// Bytes a second: an answer of a cell takes most of one.
const NARROW: Fault = Fault::Bandwidth(64 * 1024);
const PIECES: Fault = Fault::Pieces;
const RESET: Fault = Fault::Reset;
const SWALLOW: Fault = Fault::Blackhole;
const END_UP: Fault = Fault::HalfClose(Way::Up);
const END_DOWN: Fault = Fault::HalfClose(Way::Down);

const fn lost(record: &'static str) -> Expect {
    Told("EOFError", "was lost before this call was answered", record)
}

const fn unreachable(words: &'static str, record: &'static str) -> Expect {
    Told("ConnectionError", words, record)
}

const NONE: Expect = NotThere;
const FINE: Expect = GoesOn("client-closed");

/// The agent begins anew: where the guard saw the end of a handshake, of a hello, of a session.
const NEW_T: Expect = Again("handshake-aborted");
const NEW_H: Expect = Again("hello-missing");
const NEW_S: Expect = Again("client-lost");

/// The script's end, as its agent tells the guard; and as nobody does.
const ENDS: Expect = Ends("client-closed");
const GONE: Expect = Ends("client-lost");
/// It has what it asked for, and then its end.
const LAST: Expect = Answered("client-closed");
const LAST_S: Expect = Answered("client-lost");
const LAST_H: Expect = Answered("upstream-closed");

/// A call that waits is told: the way to the guard broke, or Houdini did, or Houdini closed.
const LOST: Expect = lost("client-lost");
const LOST_H: Expect = lost("upstream-lost");
const LEFT_H: Expect = lost("upstream-closed");
/// The same where no call waits.
const GONE_H: Expect = Ends("upstream-lost");
const ENDS_H: Expect = Ends("upstream-closed");

/// What is swallowed in the handshake, of the hello, of the verdict.
const MUTE_T: Expect = unreachable("said nothing for", "handshake-aborted");
const MUTE_H: Expect = unreachable("did not answer within", "hello-timeout");
const MUTE_S: Expect = unreachable("did not answer within", "client-lost");
/// What is swallowed later looks like a Houdini that cooks. The guard's end of it lasts for as
/// long as something in between holds it.
const WAIT: Expect = Waits("client-closed");
const WAIT_S: Expect = Waits("client-lost");
/// The guard's stop ends it, and the script hears of it, or cannot.
const CUT: Expect = Waits("session-drained");
const CUT_H: Expect = lost("session-drained");

type Row = (OnLeg, Fault, [Expect; PHASES.len()]);

#[rustfmt::skip]
const MATRIX: [Row; 24] = [
    //                   handshake  hello    connect  idle     mid-frame callback drain
    (Script, DELAY,    [ FINE,      FINE,    FINE,    FINE,    FINE,     FINE,    FINE   ]),
    (Script, JITTER,   [ FINE,      FINE,    FINE,    FINE,    FINE,     FINE,    FINE   ]),
    (Script, NARROW,   [ FINE,      FINE,    FINE,    FINE,    FINE,     FINE,    FINE   ]),
    (Script, PIECES,   [ FINE,      FINE,    FINE,    FINE,    FINE,     FINE,    FINE   ]),
    (Script, RESET,    [ ENDS,      ENDS,    ENDS,    ENDS,    ENDS,     ENDS,    ENDS   ]),
    (Script, SWALLOW,  [ WAIT,      WAIT,    WAIT,    WAIT,    WAIT,     WAIT,    CUT    ]),
    (Script, END_UP,   [ LAST,      LAST,    LAST,    ENDS,    LAST,     ENDS,    ENDS   ]),
    (Script, END_DOWN, [ ENDS,      ENDS,    ENDS,    ENDS,    ENDS,     ENDS,    ENDS   ]),

    (Agent,  DELAY,    [ FINE,      FINE,    FINE,    FINE,    FINE,     FINE,    FINE   ]),
    (Agent,  JITTER,   [ FINE,      FINE,    FINE,    FINE,    FINE,     FINE,    FINE   ]),
    (Agent,  NARROW,   [ FINE,      FINE,    FINE,    FINE,    FINE,     FINE,    FINE   ]),
    (Agent,  PIECES,   [ FINE,      FINE,    FINE,    FINE,    FINE,     FINE,    FINE   ]),
    (Agent,  RESET,    [ NEW_T,     NEW_H,   NEW_S,   GONE,    LOST,     LOST,    GONE   ]),
    (Agent,  SWALLOW,  [ MUTE_T,    MUTE_H,  MUTE_S,  WAIT_S,  WAIT_S,   WAIT_S,  CUT    ]),
    (Agent,  END_UP,   [ NEW_T,     NEW_H,   LOST,    GONE,    LAST_S,   LOST,    GONE   ]),
    (Agent,  END_DOWN, [ NEW_T,     NEW_S,   NEW_S,   GONE,    LOST,     LOST,    GONE   ]),

    (Guard,  DELAY,    [ NONE,      NONE,    FINE,    FINE,    FINE,     FINE,    FINE   ]),
    (Guard,  JITTER,   [ NONE,      NONE,    FINE,    FINE,    FINE,     FINE,    FINE   ]),
    (Guard,  NARROW,   [ NONE,      NONE,    FINE,    FINE,    FINE,     FINE,    FINE   ]),
    (Guard,  PIECES,   [ NONE,      NONE,    FINE,    FINE,    FINE,     FINE,    FINE   ]),
    (Guard,  RESET,    [ NONE,      NONE,    LOST_H,  GONE_H,  LOST_H,   LOST_H,  GONE_H ]),
    (Guard,  SWALLOW,  [ NONE,      NONE,    WAIT,    WAIT,    WAIT,     WAIT,    CUT_H  ]),
    (Guard,  END_UP,   [ NONE,      NONE,    LEFT_H,  ENDS_H,  LAST_H,   LEFT_H,  ENDS_H ]),
    (Guard,  END_DOWN, [ NONE,      NONE,    LEFT_H,  ENDS_H,  LEFT_H,   LEFT_H,  ENDS_H ]),
];
