//! What must hold for any input of the programs' own parsers: what a stranger sends, what an
//! artist brings, what IT writes, and what lies on a disk that others could write to. The
//! fuzz targets call these, and so does a plain test.

mod audit;
mod certificates;
mod texts;
mod tokens;

pub use audit::audit;
pub use certificates::{certificate, request, request_made};
pub use texts::{configuration, policy};
pub use tokens::{token, token_made};

use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};
use wire::enrolment::{Redeem, Renew, Reply};
use wire::hello::{Hello, Verdict};
use wire::invite::Invite;
use wire::message::{self, Message};

/// A sentence about a bad input does not grow with it.
const SENTENCE_MAX: usize = 1000;

/// Reads from memory, so that it never waits.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));

/// What a client says first, and what it is told. As all of them, it gives whether the input
/// was accepted.
pub fn hello(input: &[u8]) -> bool {
    let hello = message::<Hello>(input);
    if let Some(hello) = &hello {
        let token = hello.token.expose();
        let shown = format!("{hello:?}");
        // Unless the token says nothing that the rest does not.
        let rest = format!(
            "{:?}{:?}Hello token upstream client",
            hello.client, hello.upstream
        );
        let is_told_apart = token.len() > 12 && !rest.contains(token);
        assert!(!is_told_apart || !shown.contains(token), "{shown}");
    }
    hello.is_some() || message::<Verdict>(input).is_some()
}

/// What somebody says who wants a certificate, and what is handed out.
pub fn enrolment(input: &[u8]) -> bool {
    message::<Redeem>(input).is_some()
        || message::<Renew>(input).is_some()
        || message::<Reply>(input).is_some()
}

/// Reads a message as it comes from the network: not a byte more than it says, nothing beyond
/// its bound; and what was understood can be said again.
fn message<M: Message>(input: &[u8]) -> Option<M> {
    let mut rest = input;
    let read = RUNTIME.block_on(message::read::<M>(&mut rest));
    let taken = input.len() - rest.len();
    assert!(taken <= 8 + M::CAP);
    match read {
        Ok(message) => {
            let length = u32::from_be_bytes(input[4..8].try_into().expect("four bytes"));
            assert_eq!(taken, 8 + length as usize);
            // Escaped, it may be longer than it came.
            if let Ok(said) = message::encode(&message) {
                let mut rest = &said[..];
                let again = RUNTIME.block_on(message::read::<M>(&mut rest));
                let again = message::encode(&again.expect("it is understood")).expect("as before");
                assert_eq!(again, said);
            }
            Some(message)
        }
        Err(error) => {
            assert!(error.to_string().len() < SENTENCE_MAX);
            None
        }
    }
}

/// The code that an artist pastes.
pub fn invite(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else {
        return false;
    };
    let parsed = text.parse::<Invite>();
    match &parsed {
        Ok(invite) => {
            let code = invite.to_code();
            let again: Invite = code.expose().parse().expect("it is a code");
            assert_eq!(again.to_code().expose(), code.expose());
            assert!(!format!("{invite:?}").contains(&wire::hex(invite.secret.expose())));
        }
        Err(error) => assert!(error.to_string().len() < SENTENCE_MAX),
    }
    parsed.is_ok()
}
