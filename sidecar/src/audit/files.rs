//! The files of a log: `NAME.jsonl` is written to, closed ones are `NAME-<UTC>-<n>.jsonl`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::chain::{Head, Link};

/// The log of connections.
pub const CONNECTIONS: &str = "connections";
/// The log of calls.
pub const CALLS: &str = "calls";

/// The longest line that is looked at, in bytes. None that is written comes near.
pub(super) const LONGEST_LINE: usize = 256 * 1024;

/// The file that is written to.
pub(super) fn current(directory: &Path, log: &str) -> PathBuf {
    directory.join(format!("{log}.jsonl"))
}

/// A name for the file that is closed now, which no file has.
pub(super) fn free_name(directory: &Path, log: &str) -> PathBuf {
    let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%S");
    let mut number = 0;
    loop {
        let path = directory.join(format!("{log}-{stamp}-{number:03}.jsonl"));
        if !path.exists() {
            return path;
        }
        number += 1;
    }
}

/// A file of a log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LogFile {
    /// The number of its first link; none when it holds none.
    pub(super) first: Option<u64>,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// The closed files of a log, the oldest first: by the numbers in them, because clocks are
/// set back and files are renamed. Files without a number come last.
pub(super) fn closed(directory: &Path, log: &str) -> io::Result<Vec<LogFile>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let ours = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix(log)?.strip_suffix(".jsonl"))
            .is_some_and(|rest| rest.starts_with('-'));
        if ours {
            match first_number(&path) {
                Ok(first) => found.push(LogFile { first, path }),
                // Removed since, because only so many are kept.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    found.sort_by_key(|file| (file.first.unwrap_or(u64::MAX), file.path.clone()));
    Ok(found)
}

/// The number of the first link in a file.
pub(super) fn first_number(path: &Path) -> io::Result<Option<u64>> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    while read_line(&mut reader, &mut line)?.is_some() {
        if let Some(link) = Link::parse(&line) {
            return Ok(Some(link.seq));
        }
    }
    Ok(None)
}

/// How a line came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// As it should.
    LineEnd,
    /// It is longer than any line; what follows is the rest of it.
    Limit,
    /// The file ended first.
    FileEnd,
}

/// Reads a line, without its end. None at the end of the file.
pub(super) fn read_line(
    reader: &mut impl BufRead,
    line: &mut Vec<u8>,
) -> io::Result<Option<Ended>> {
    line.clear();
    let count = reader
        .by_ref()
        .take(LONGEST_LINE as u64)
        .read_until(b'\n', line)?;
    Ok(if count == 0 {
        None
    } else if line.last() == Some(&b'\n') {
        line.pop();
        Some(Ended::LineEnd)
    } else if count == LONGEST_LINE {
        Some(Ended::Limit)
    } else {
        Some(Ended::FileEnd)
    })
}

/// The last link of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastLink {
    pub(super) head: Head,
    /// Where its line ends, with the line end if it has one.
    pub(super) end: u64,
    /// It lacks only the line end.
    pub(super) unended: bool,
    /// It signs what is before it.
    pub(super) is_checkpoint: bool,
}

/// Looks for the last link of a file, from its end.
pub(super) fn last_link(file: &mut File) -> io::Result<Option<LastLink>> {
    let length = file.metadata()?.len();
    let mut size = LONGEST_LINE as u64;
    loop {
        let from = length.saturating_sub(size);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(length - from).read_to_end(&mut bytes)?;
        let mut end = bytes.len();
        for line in bytes.split_inclusive(|byte| *byte == b'\n').rev() {
            let start = end - line.len();
            // The first may be the end of a longer line.
            if start == 0 && from > 0 {
                break;
            }
            let bare = line.strip_suffix(b"\n").unwrap_or(line);
            if let Some(link) = Link::parse(bare) {
                return Ok(Some(LastLink {
                    head: link.head(),
                    end: from + end as u64,
                    unended: bare.len() == line.len(),
                    is_checkpoint: is_event(bare, "checkpoint"),
                }));
            }
            end = start;
        }
        if from == 0 {
            return Ok(None);
        }
        size = size.saturating_mul(4);
    }
}

/// Whether a line that the guard wrote is about an event. No text within a line can look so,
/// because its quotes are escaped.
pub(super) fn is_event(line: &[u8], event: &str) -> bool {
    let wanted = format!("\"event\":\"{event}\"");
    // It stands right behind the time, or at the beginning.
    let head = &line[..line.len().min(128)];
    head.windows(wanted.len())
        .any(|part| part == wanted.as_bytes())
}

/// Opens the file that is written to.
pub(super) fn open_to_append(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().append(true).create(true)).open(path)
}

/// Closes the current file under another name and opens an empty one in its place. There is
/// a file of the current name all the while, where the filesystem knows links.
pub(super) fn replace_current(current: &Path, closed: &Path) -> io::Result<File> {
    let beside = current.with_extension("jsonl.new");
    match std::fs::hard_link(current, closed) {
        Ok(()) => {
            let made = private(OpenOptions::new().write(true).create(true).truncate(true))
                .open(&beside)
                .and_then(|_| std::fs::rename(&beside, current));
            if let Err(error) = made {
                // Go on in the old file under its old name.
                let _ = std::fs::remove_file(closed);
                return Err(error);
            }
            open_to_append(current)
        }
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(error),
        Err(_) => {
            std::fs::rename(current, closed)?;
            open_to_append(current).inspect_err(|_| {
                let _ = std::fs::rename(closed, current);
            })
        }
    }
}

/// Ends a [`replace_current`] that a kill cut in half: both names are of one file then.
pub(super) fn mend(directory: &Path, log: &str) -> io::Result<()> {
    let current = current(directory, log);
    let closed = closed(directory, log)?;
    if closed.iter().any(|file| is_same(&file.path, &current)) {
        let beside = current.with_extension("jsonl.new");
        private(OpenOptions::new().write(true).create(true).truncate(true)).open(&beside)?;
        std::fs::rename(&beside, &current)?;
    }
    Ok(())
}

/// Whether two names are of one file.
#[cfg(unix)]
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |path: &Path| std::fs::metadata(path).map(|m| (m.dev(), m.ino()));
    matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whether an open file still has a name.
#[cfg(unix)]
pub(super) fn is_open_as(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Whether an open file still has a name: not known here, so never.
#[cfg(not(unix))]
pub(super) fn is_open_as(_: &File, _: &Path) -> bool {
    false
}

/// Whether two names are of one file: not known here, so never.
#[cfg(not(unix))]
pub(super) fn is_same(_: &Path, _: &Path) -> bool {
    false
}

#[cfg(unix)]
fn private_builder() -> std::fs::DirBuilder {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700);
    builder
}

#[cfg(not(unix))]
fn private_builder() -> std::fs::DirBuilder {
    std::fs::DirBuilder::new()
}

pub(super) fn make_private_directory(path: &Path) -> io::Result<()> {
    match private_builder().create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Only for the guard's own user.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}
