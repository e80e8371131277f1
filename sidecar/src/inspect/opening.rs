//! How an inspected session begins: nothing goes on before it is known which rpyc each end
//! speaks, because it may have to be translated.
//!
//! The script speaks first, nearly always, and each end shows its family by the first message.
//! Houdini's is mostly known; else it is asked by a connection of its own while the script's
//! first words wait here. A Houdini that cooks answers neither, so that nothing is lost by it.

use std::pin::Pin;
use std::task::{Context, Poll};

use rpyc::frame::HEADER_LEN;
use rpyc::{Family, Lane, Observer};

/// The first message shows its family within so many bytes, compressed or not.
const SHOWS_WITHIN: usize = HEADER_LEN + 4 * 1024;

type Asking<'a> = Pin<Box<dyn Future<Output = Option<Family>> + Send + 'a>>;

/// What is known of the two ends.
pub(super) struct Opening<'a> {
    /// What was known of Houdini, or what it is being asked.
    asking: Option<Asking<'a>>,
    told: Option<Family>,
    client: Shown,
    houdini: Shown,
}

/// What the beginning of a direction shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    NotYet,
    Family(Family),
    /// No message of rpyc, or the end. Nothing is to be waited for.
    Never,
}

impl Shown {
    fn family(self) -> Option<Family> {
        match self {
            Self::Family(family) => Some(family),
            Self::NotYet | Self::Never => None,
        }
    }

    /// Looks at what has come, until that shows something.
    fn look(&mut self, lane: &Lane, ended: bool) {
        if *self != Self::NotYet {
            return;
        }
        let first = &lane.input[..lane.input.len().min(SHOWS_WITHIN)];
        let mut observer = Observer::new();
        observer.observe(first, |_| {});
        *self = match observer.family() {
            Some(family) => Self::Family(family),
            None if ended || observer.is_opaque() || first.len() == SHOWS_WITHIN => Self::Never,
            None => Self::NotYet,
        };
    }
}

impl<'a> Opening<'a> {
    /// `asking` gives the family of Houdini, or `None` when that could not be found out.
    pub(super) fn new(asking: impl Future<Output = Option<Family>> + Send + 'a) -> Self {
        Self {
            asking: Some(Box::pin(asking)),
            told: None,
            client: Shown::NotYet,
            houdini: Shown::NotYet,
        }
    }

    /// Looks at the script's lane and at Houdini's, each with whether it has ended. Ready
    /// when messages may be taken out of them: with the families of script and Houdini.
    ///
    /// As long as nothing was sent to Houdini it may be asked again: what Houdini shows then
    /// counts for more than what was known of it.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: (&Lane, bool),
        houdini: (&Lane, bool),
    ) -> Poll<(Option<Family>, Option<Family>)> {
        self.client.look(client.0, client.1);
        self.houdini.look(houdini.0, houdini.1);
        if let Some(asking) = &mut self.asking {
            if let Poll::Ready(told) = asking.as_mut().poll(cx) {
                self.told = told;
                self.asking = None;
            } else if self.houdini != Shown::NotYet || self.client == Shown::Never {
                self.asking = None;
            }
        }
        let silent = self.client == Shown::NotYet && self.houdini != Shown::Never;
        if silent || self.asking.is_some() {
            return Poll::Pending;
        }
        let client = self.client.family();
        // One that does not tell is taken for one that needs no translation.
        let houdini = self.houdini.family().or(self.told).or(client);
        Poll::Ready((client, houdini))
    }
}

#[cfg(test)]
mod tests;
