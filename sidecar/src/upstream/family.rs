//! Which rpyc a Houdini speaks.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rpyc::Family;
use rpyc::probe::{Probe, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::{Connection, Houdini, connect_to_probe};

/// How long a Houdini may take to tell. One that cooks does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of each Houdini.
#[derive(Debug, Default)]
pub struct Families {
    known: Mutex<HashMap<String, Family>>,
}

impl Families {
    /// The family that a Houdini speaks: as it was the last time, or asked for now. `None`
    /// when it does not tell.
    pub async fn of(&self, houdini: &Houdini) -> Option<Family> {
        let known = self.lock().get(&houdini.to_string()).copied();
        if known.is_some() {
            return known;
        }
        let asked = timeout(PATIENCE, async {
            let mut stream = connect_to_probe(houdini).await?;
            ask(&mut stream).await
        });
        match asked.await {
            Ok(Ok(Some(Verdict::Rpyc(family)))) => {
                self.learn(houdini, family);
                Some(family)
            }
            _ => None,
        }
    }

    /// Remembers what a Houdini turned out to speak.
    pub fn learn(&self, houdini: &Houdini, family: Family) {
        self.lock().insert(houdini.to_string(), family);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Family>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks who listens. `None` when it hangs up.
///
/// # Errors
/// Those of the connection.
pub async fn ask(stream: &mut Connection) -> io::Result<Option<Verdict>> {
    let mut probe = Probe::new();
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
