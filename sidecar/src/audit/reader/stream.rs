//! The records of the logs in order: from the beginning, or the last ones.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::super::files::LogFile;
use super::entry::{Entry, Filter};
use super::{Ended, LOGS, ReadError, all_files, read_line};

/// Bad lines that are named; those beyond are counted.
const NAMED: usize = 10;

/// Lines that are no records.
#[derive(Debug, Default)]
pub struct Bad {
    /// The first of them, by file and line.
    pub named: Vec<(PathBuf, u64)>,
    /// How many there are in all.
    pub count: u64,
}

impl Bad {
    fn add(&mut self, path: &Path, line: u64) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push((path.to_owned(), line));
        }
    }
}

/// The records of one file.
struct Records {
    log: &'static str,
    path: PathBuf,
    reader: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    /// The rest of a line that is too long comes next.
    within: bool,
}

impl Records {
    fn open(log: &'static str, path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::io(path, source))?;
        Ok(Self {
            log,
            path: path.to_owned(),
            reader: BufReader::with_capacity(64 * 1024, file),
            line: Vec::new(),
            number: 0,
            within: false,
        })
    }

    fn next(&mut self, bad: &mut Bad) -> Result<Option<Entry>, ReadError> {
        loop {
            let read = read_line(&mut self.reader, &mut self.line)
                .map_err(|source| ReadError::io(&self.path, source))?;
            let Some(ended) = read else { return Ok(None) };
            let is_begin = !std::mem::replace(&mut self.within, ended == Ended::Limit);
            self.number += u64::from(is_begin);
            if is_begin && ended != Ended::Limit {
                match Entry::read(self.log, &self.line) {
                    Some(entry) => return Ok(Some(entry)),
                    // It is being written.
                    None if ended == Ended::FileEnd => return Ok(None),
                    None => {}
                }
            }
            if is_begin && !self.line.is_empty() {
                bad.add(&self.path, self.number);
            }
        }
    }
}

/// The records of one log, the oldest first.
struct LogStream {
    log: &'static str,
    files: VecDeque<LogFile>,
    records: Option<Records>,
    next: Option<Entry>,
}

impl LogStream {
    fn advance(&mut self, bad: &mut Bad) -> Result<Option<Entry>, ReadError> {
        let present = self.next.take();
        loop {
            if let Some(records) = &mut self.records
                && let Some(entry) = records.next(bad)?
            {
                self.next = Some(entry);
                break;
            }
            let Some(file) = self.files.pop_front() else {
                break;
            };
            self.records = Some(Records::open(self.log, &file.path)?);
        }
        Ok(present)
    }
}

/// The records of both logs by time, the oldest first.
pub struct Stream {
    logs: Vec<LogStream>,
    /// What was no record so far.
    pub bad: Bad,
}

impl Stream {
    /// Begins with the oldest record that is there.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(directory: &Path) -> Result<Self, ReadError> {
        let mut stream = Self {
            logs: Vec::new(),
            bad: Bad::default(),
        };
        for log in LOGS {
            let mut log = LogStream {
                log,
                files: all_files(directory, log)?.into(),
                records: None,
                next: None,
            };
            log.advance(&mut stream.bad)?;
            stream.logs.push(log);
        }
        Ok(stream)
    }

    /// The next record, of whichever log.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn take(&mut self) -> Result<Option<Entry>, ReadError> {
        let oldest = self
            .logs
            .iter_mut()
            .filter(|log| log.next.is_some())
            .min_by_key(|log| log.next.as_ref().map(|entry| entry.fields.time));
        match oldest {
            Some(log) => log.advance(&mut self.bad),
            None => Ok(None),
        }
    }
}

/// The last records that are wanted, of both logs by time; the newest files are read first.
///
/// # Errors
/// [`ReadError`].
pub fn last(
    directory: &Path,
    filter: &Filter,
    count: usize,
    bad: &mut Bad,
) -> Result<Vec<Entry>, ReadError> {
    let mut all = Vec::new();
    for log in LOGS {
        let mut found: VecDeque<Entry> = VecDeque::new();
        for file in all_files(directory, log)?.iter().rev() {
            let mut here = VecDeque::new();
            let mut first: Option<Timestamp> = None;
            let mut records = Records::open(log, &file.path)?;
            while let Some(entry) = records.next(bad)? {
                first.get_or_insert(entry.fields.time);
                if filter.wants(&entry.fields) {
                    here.push_back(entry);
                    if here.len() + found.len() > count {
                        here.pop_front();
                    }
                }
            }
            here.append(&mut found);
            found = here;
            let is_before = filter
                .since
                .is_some_and(|since| first.is_some_and(|first| first < since));
            if found.len() >= count || is_before {
                break;
            }
        }
        all.extend(found);
    }
    all.sort_by_key(|entry| entry.fields.time);
    all.drain(..all.len().saturating_sub(count));
    Ok(all)
}
