//! Checkpoints, and when what was written is on the disk.

use std::io;
use std::time::Duration;

use super::Log;
use crate::audit::checkpoint::{Checkpoint, Counted, Why};
use crate::audit::record::body_of;

/// How long what was written may not be on the disk yet.
const UNSYNCED: Duration = Duration::from_secs(1);
/// How long after its first record a process signs for the first time.
const FIRST: Duration = Duration::from_secs(1);

impl Log {
    /// Signs what was written and sends the head outside. It is on the disk by then.
    pub(super) fn checkpoint(&mut self, why: Why) -> io::Result<()> {
        let checkpoint = Checkpoint::sign(self.name, why, self.head, self.counted, &self.key);
        self.write(&[body_of(&checkpoint)]).1?;
        (self.unsigned, self.counted) = (0, Counted::default());
        self.signed = true;
        self.closing = why == Why::TurnOver;
        if why != Why::Begin {
            self.sync()?;
            self.outside.send(self.name, self.head);
        }
        Ok(())
    }

    /// What has to be done although nothing new came.
    pub(in crate::audit) fn keep_up(&mut self) -> io::Result<()> {
        if self.unsigned > 0 && self.unsigned_since.elapsed() >= self.sign_every() {
            self.prepare(0)?;
            self.checkpoint(Why::Time)?;
        }
        if self
            .unsynced
            .is_some_and(|since| since.elapsed() >= UNSYNCED)
        {
            self.sync()?;
        }
        Ok(())
    }

    /// The first checkpoint of a process comes soon, so that its beginning cannot be made up.
    fn sign_every(&self) -> Duration {
        let every = self.config.checkpoint_every;
        if self.signed { every } else { every.min(FIRST) }
    }

    /// When [`Log::keep_up`] has something to do.
    pub(in crate::audit) fn due(&self) -> Option<Duration> {
        let sign = (self.unsigned > 0).then(|| {
            self.sign_every()
                .saturating_sub(self.unsigned_since.elapsed())
        });
        let sync = self
            .unsynced
            .map(|since| UNSYNCED.saturating_sub(since.elapsed()));
        [sign, sync].into_iter().flatten().min()
    }

    /// Writes what waits, and signs it as the last.
    pub(in crate::audit) fn finish(&mut self) -> io::Result<()> {
        self.write_waiting()?;
        if self.unsigned > 0 {
            self.prepare(0)?;
            self.checkpoint(Why::Stop)?;
        }
        self.sync()
    }

    pub(in crate::audit) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.unsynced = None;
        Ok(())
    }
}
