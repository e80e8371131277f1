//! The requests that wait for an answer.

use std::collections::BTreeMap;

use crate::head::{Head, Kind};

/// Requests that are remembered at most.
pub const PENDING_MAX: usize = 65_536;

/// The requests that one side has sent and not got an answer to.
///
/// Fed with the heads of both directions. A request to close is never outstanding: the end
/// of the connection is its answer, and 6.x prints a traceback for any exception in its
/// place. With more than [`PENDING_MAX`] requests open the oldest are forgotten.
#[derive(Debug, Default)]
pub struct Pending {
    requests: BTreeMap<u64, Head>,
}

impl Pending {
    /// At the beginning of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// The side that is looked after sent this.
    pub fn client_sent(&mut self, head: Head) {
        if matches!(head.kind, Kind::Request { .. }) && !head.is_close() {
            self.requests.insert(head.seq, head);
            if self.requests.len() > PENDING_MAX {
                self.requests.pop_first();
            }
        }
    }

    /// The other side sent this.
    pub fn server_sent(&mut self, head: Head) {
        if matches!(head.kind, Kind::Reply | Kind::Exception) {
            self.requests.remove(&head.seq);
        }
    }

    /// The requests without an answer, oldest first.
    pub fn outstanding(&self) -> impl Iterator<Item = Head> + '_ {
        self.requests.values().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;
    use crate::head::CLOSE;

    const CALL: u8 = 7;

    fn request(seq: u64) -> Head {
        Head::request(Family::Classic, seq, CALL)
    }

    fn answer(seq: u64, kind: Kind) -> Head {
        Head {
            kind,
            ..request(seq)
        }
    }

    fn outstanding(pending: &Pending) -> Vec<u64> {
        pending.outstanding().map(|head| head.seq).collect()
    }

    #[test]
    fn an_answer_of_either_kind_settles_its_request() {
        let mut pending = Pending::new();
        for seq in [0, 2, 1, 3] {
            pending.client_sent(request(seq));
        }
        pending.server_sent(answer(1, Kind::Reply));
        pending.server_sent(answer(2, Kind::Exception));
        assert_eq!(outstanding(&pending), [0, 3]);
    }

    #[test]
    fn what_the_server_asks_and_the_client_answers_does_not_count() {
        let mut pending = Pending::new();
        pending.client_sent(request(0));
        pending.server_sent(request(0));
        pending.client_sent(answer(0, Kind::Reply));
        pending.server_sent(answer(7, Kind::Reply));
        assert_eq!(outstanding(&pending), [0]);
    }

    #[test]
    fn a_close_is_never_outstanding() {
        let mut pending = Pending::new();
        pending.client_sent(Head::request(Family::Six, 4, CLOSE));
        assert_eq!(outstanding(&pending), []);
    }

    #[test]
    fn the_oldest_are_forgotten_beyond_the_bound() {
        let mut pending = Pending::new();
        let sent = PENDING_MAX as u64 + 10;
        for seq in 0..sent {
            pending.client_sent(request(seq));
        }
        assert!(pending.outstanding().map(|head| head.seq).eq(10..sent));
    }
}
