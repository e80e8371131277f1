//! Which of the client's calls still wait for an answer, by the heads of what goes by.

use rpyc::{Family, Head, Kind, Observer, Pending};

/// What was understood of the traffic.
#[derive(Debug, Default)]
pub(super) struct Heads {
    client: Observer,
    server: Observer,
    pending: Pending,
    client_is_leaving: bool,
}

impl Heads {
    /// Bytes that the client has sent.
    pub(super) fn client_sent(&mut self, bytes: &[u8]) {
        let (pending, leaving) = (&mut self.pending, &mut self.client_is_leaving);
        self.client.observe(bytes, |head| {
            *leaving |= head.is_close();
            pending.client_sent(head);
        });
    }

    /// Bytes that the client gets. What it does not get is no answer.
    pub(super) fn client_gets(&mut self, bytes: &[u8]) {
        let pending = &mut self.pending;
        self.server.observe(bytes, |head| pending.server_sent(head));
    }

    /// Does a call of the client wait for an answer?
    pub(super) fn call_waits(&self) -> bool {
        self.pending.outstanding().any(|request| is_call(&request))
    }

    /// Has the client asked to close?
    pub(super) fn client_is_leaving(&self) -> bool {
        self.client_is_leaving
    }

    /// Can the client be told something in rpyc? Not in the middle of a frame, and not when
    /// this is no rpyc.
    pub(super) fn can_be_told(&self) -> bool {
        self.server.at_boundary() && !self.client.is_opaque() && !self.server.is_opaque()
    }

    /// Which rpyc it is, once that has shown.
    pub(super) fn family(&self) -> Option<Family> {
        self.client.family()
    }

    /// What the client has sent, and its requests without an answer, oldest first.
    pub(super) fn into_parts(self) -> (Observer, Vec<Head>) {
        (self.client, self.pending.outstanding().collect())
    }
}

/// Does somebody wait for the answer to this request? Not when Python drops a name for
/// something of the server's, of which scripts know nothing.
fn is_call(request: &Head) -> bool {
    /// `HANDLE_DEL` (`core/consts.py`).
    const DEL: u8 = 15;
    matches!(request.kind, Kind::Request { handler } if handler != DEL)
}
