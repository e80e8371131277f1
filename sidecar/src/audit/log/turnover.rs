//! Files are turned over by size and age, and the oldest removed where that is wanted.

use std::io;
use std::time::SystemTime;

use super::Log;
use crate::audit::checkpoint::{Outside, Why};
use crate::audit::files::{self, current, open_to_append, replace_current};
use crate::audit::record::{Event, Record};
use crate::config::AuditConfig;

impl Log {
    pub(super) fn turn_over(&mut self, more: u64) -> io::Result<()> {
        let old = self
            .begun
            .elapsed()
            .is_ok_and(|age| age > self.config.max_age);
        if self.length == 0 || (more <= self.room() && !old) {
            return Ok(());
        }
        if !self.closing {
            self.checkpoint(Why::TurnOver)?;
        }
        self.sync()?;
        let closed = files::free_name(&self.directory, self.name);
        self.file = replace_current(&current(&self.directory, self.name), &closed)?;
        self.length = 0;
        self.begun = SystemTime::now();
        self.checkpoint(Why::Begin)?;
        if let Some(keep) = self.config.keep {
            self.prune(keep)?;
        }
        Ok(())
    }

    /// Removes the oldest files. The log says so before it happens: who removes one without a
    /// record is found out.
    fn prune(&mut self, keep: usize) -> io::Result<()> {
        let closed = files::closed(&self.directory, self.name)?;
        for pair in closed.windows(2).take(closed.len().saturating_sub(keep)) {
            let [old, next] = pair else { continue };
            let mut record = Record::new(Event::Pruned);
            record.file = old
                .path
                .file_name()
                .map(|name| name.to_string_lossy().into());
            record.through = next.first.map(|first| first - 1);
            self.write(&[record.body()]).1?;
            self.sync()?;
            if let Err(error) = std::fs::remove_file(&old.path) {
                tracing::warn!(%error, path = %old.path.display(), "an old audit file cannot be removed");
            }
        }
        Ok(())
    }

    pub(in crate::audit) fn reopen(&mut self, config: AuditConfig) {
        self.outside = Outside::new(config.heads.clone());
        self.config = config;
        let opened = open_to_append(&current(&self.directory, self.name)).and_then(|file| {
            let length = file.metadata()?.len();
            if length < self.length {
                // Another file: the one before was moved away.
                (self.length, self.torn, self.unended) = (length, false, false);
                self.begun = SystemTime::now();
            }
            self.file = file;
            Ok(())
        });
        if let Err(error) = opened {
            tracing::error!(%error, "the audit log cannot be opened anew");
        }
    }
}
