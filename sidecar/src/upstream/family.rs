//! Which rpyc a Houdini speaks.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rpyc::Family;
use rpyc::probe::{Probe, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Connection, Houdini, Listener, connect_to_probe};

/// What is known of each Houdini, for as long as the same one listens.
#[derive(Debug, Default)]
pub struct Families {
    places: Mutex<HashMap<String, Arc<Place>>>,
}

/// An address, and what is known of the Houdini there.
#[derive(Debug, Default)]
struct Place {
    known: Mutex<Option<Known>>,
    /// Whose turn it is to ask.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// Of whom. `None` when that could not be told.
    listener: Option<Listener>,
    family: Family,
    /// When it showed.
    at: Instant,
}

impl Families {
    /// The family that a Houdini speaks: as it is known of this listener, or asked for now.
    /// `None` when it does not tell.
    ///
    /// This takes as long as Houdini takes to answer, which may be until it has cooked. Those
    /// who wait for it together ask once.
    pub async fn of(&self, houdini: &Houdini, listener: Option<Listener>) -> Option<Family> {
        let since = Instant::now();
        let place = self.place(houdini);
        let known = || place.known().filter(|known| known.holds(listener, since));
        if let Some(known) = known() {
            return Some(known.family);
        }
        let _turn = place.turn.lock().await;
        if let Some(known) = known() {
            return Some(known.family);
        }
        let probe = match *place.known() {
            Some(known) => Probe::expecting(known.family),
            None => Probe::new(),
        };
        let mut stream = connect_to_probe(houdini).await.ok()?;
        let listener = stream.listener(houdini).await;
        match ask(&mut stream, probe).await {
            Ok(Some(Verdict::Rpyc(family))) => {
                *place.known() = Some(Known {
                    listener,
                    family,
                    at: Instant::now(),
                });
                Some(family)
            }
            _ => None,
        }
    }

    /// Remembers what a Houdini turned out to speak.
    pub fn learn(&self, houdini: &Houdini, listener: Option<Listener>, family: Family) {
        let place = self.place(houdini);
        let mut known = place.known();
        // Of another listener at its place more is known by now.
        let other = |known: Known| known.listener.is_some() && known.listener != listener;
        if !known.is_some_and(other) {
            *known = Some(Known {
                listener,
                family,
                at: Instant::now(),
            });
        }
    }

    fn place(&self, houdini: &Houdini) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(houdini.to_string()).or_default().clone()
    }
}

impl Place {
    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Is it of this listener, or has it shown after the question?
    fn holds(self, listener: Option<Listener>, since: Instant) -> bool {
        (listener.is_some() && self.listener == listener) || self.at >= since
    }
}

/// Asks who listens. `None` when it hangs up.
///
/// # Errors
/// Those of the connection.
pub async fn ask(stream: &mut Connection, mut probe: Probe) -> io::Result<Option<Verdict>> {
    stream.write_all(probe.to_send()).await?;
    let mut buffer = [0; 1024];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(None);
        }
        if let Some(verdict) = probe.feed(&buffer[..count]) {
            return Ok(Some(verdict));
        }
    }
}

#[cfg(test)]
mod tests;
