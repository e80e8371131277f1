//! Where a log goes on, and what a kill or a power cut left at its end.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;

use super::{BATCH, Log};
use crate::audit::chain::to_hash;
use crate::audit::checkpoint::Why;
use crate::audit::files::{self, current};
use crate::audit::record::{Event, Record};

impl Log {
    /// Looks for the end of the chain in the files.
    pub(super) fn find_end(&mut self) -> io::Result<()> {
        let path = current(&self.directory, self.name);
        self.begun = first_time(&path).unwrap_or_else(SystemTime::now);
        let mut file = File::open(&path)?;
        let length = file.metadata()?.len();
        if let Some(last) = files::last_link(&mut file)? {
            self.head = last.head;
            self.length = last.end;
            self.unended = last.unended;
            self.unsigned = u64::from(!last.is_checkpoint);
        } else {
            self.length = 0;
            for closed in files::closed(&self.directory, self.name)?.iter().rev() {
                if let Some(last) = files::last_link(&mut File::open(&closed.path)?)? {
                    self.head = last.head;
                    break;
                }
            }
        }
        self.torn = length > self.length;
        Ok(())
    }

    /// Writes down what lies behind the last whole line, so that it cannot be changed or taken
    /// for a change.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        let path = current(&self.directory, self.name);
        let mut file = File::open(&path)?;
        file.seek(SeekFrom::Start(self.length))?;
        let (mut context, mut found) = (Context::new(&SHA256), 0);
        let mut chunk = vec![0; BATCH];
        loop {
            let count = file.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            context.update(&chunk[..count]);
            found += count as u64;
        }
        self.torn = false;
        if found == 0 {
            return Ok(());
        }
        let mut record = Record::new(Event::Resumed);
        record.torn_bytes = Some(found);
        record.torn_sha256 = Some(wire::hex(&to_hash(&context.finish())));
        let good = self.length;
        self.length += found;
        self.unended = true;
        if let (_, Err(error)) = self.write(&[record.body()]) {
            (self.length, self.torn, self.unended) = (good, true, false);
            return Err(error);
        }
        tracing::warn!(
            log = self.name,
            bytes = found,
            "the audit log ended within a line, as after a kill or a power cut; a record says what was found"
        );
        self.checkpoint(Why::Resumed)
    }
}

/// When the first record of a file was written.
fn first_time(path: &Path) -> Option<SystemTime> {
    #[derive(serde::Deserialize)]
    struct Stamp {
        time: Timestamp,
    }
    let mut line = Vec::new();
    files::read_line(&mut BufReader::new(File::open(path).ok()?), &mut line).ok()?;
    let stamp: Stamp = serde_json::from_slice(&line).ok()?;
    Some(stamp.time.into())
}
