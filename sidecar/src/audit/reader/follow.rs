//! New records as they come, over the turning of files.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::super::files;
use super::entry::Entry;
use super::{Ended, LOGS, ReadError, all_files, read_line};

/// Where a log has been read to.
struct Place {
    log: &'static str,
    /// The number of the last link that was read.
    seq: u64,
    path: PathBuf,
    reader: Option<BufReader<File>>,
    /// The beginning of a line whose end has not been written yet.
    begun: Vec<u8>,
}

/// Follows both logs.
pub struct Follower {
    directory: PathBuf,
    places: Vec<Place>,
}

impl Follower {
    /// Begins behind the last whole records.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(directory: &Path) -> Result<Self, ReadError> {
        let mut places = Vec::new();
        for log in LOGS {
            let mut place = Place {
                log,
                seq: 0,
                path: PathBuf::new(),
                reader: None,
                begun: Vec::new(),
            };
            for file in all_files(directory, log)?.iter().rev() {
                let failed = |source| ReadError::io(&file.path, source);
                let mut opened = File::open(&file.path).map_err(failed)?;
                if let Some(last) = files::last_link(&mut opened).map_err(failed)? {
                    opened.seek(SeekFrom::Start(last.end)).map_err(failed)?;
                    place.seq = last.head.seq;
                    place.path.clone_from(&file.path);
                    place.reader = Some(BufReader::new(opened));
                    break;
                }
            }
            places.push(place);
        }
        Ok(Self {
            directory: directory.to_owned(),
            places,
        })
    }

    /// The number of the last record of a log that [`Follower::more`] will not give.
    pub fn seen(&self, log: &str) -> u64 {
        self.places
            .iter()
            .find(|place| place.log == log)
            .map_or(0, |place| place.seq)
    }

    /// The records that came since the last time, by time.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn more(&mut self) -> Result<Vec<Entry>, ReadError> {
        let mut found = Vec::new();
        for place in &mut self.places {
            loop {
                place.read(&mut found)?;
                if !place.turn(&self.directory)? {
                    break;
                }
            }
        }
        found.sort_by_key(|entry| entry.fields.time);
        Ok(found)
    }
}

impl Place {
    fn read(&mut self, found: &mut Vec<Entry>) -> Result<(), ReadError> {
        let Some(reader) = &mut self.reader else {
            return Ok(());
        };
        let mut line = Vec::new();
        loop {
            let read = read_line(reader, &mut line);
            match read.map_err(|source| ReadError::io(&self.path, source))? {
                None => return Ok(()),
                Some(Ended::LineEnd) => {
                    self.begun.append(&mut line);
                    if let Some(entry) = Entry::read(self.log, &self.begun)
                        && entry.fields.seq > self.seq
                    {
                        self.seq = entry.fields.seq;
                        found.push(entry);
                    }
                    self.begun.clear();
                }
                Some(Ended::Limit) => self.begun.clear(),
                // Bytes that never end in a line are no record.
                Some(Ended::FileEnd) if self.begun.len() + line.len() > files::LONGEST_LINE => {
                    self.begun.clear();
                }
                Some(Ended::FileEnd) => self.begun.append(&mut line),
            }
        }
    }

    /// Goes on in the next file. Whether there is one.
    fn turn(&mut self, directory: &Path) -> Result<bool, ReadError> {
        // Only then is each file looked into: there may be thousands.
        let current = files::current(directory, self.log);
        if let Some(reader) = &self.reader
            && files::is_open_as(reader.get_ref(), &current)
        {
            return Ok(false);
        }
        let files = all_files(directory, self.log)?;
        let next = files
            .into_iter()
            .find(|file| file.first.is_some_and(|first| first > self.seq));
        let Some(next) = next else { return Ok(false) };
        let file = File::open(&next.path).map_err(|source| ReadError::io(&next.path, source))?;
        self.reader = Some(BufReader::new(file));
        self.path = next.path;
        self.begun.clear();
        Ok(true)
    }
}
