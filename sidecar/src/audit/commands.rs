//! `hrpyc-guard audit`: what it prints.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use certs::{AuditKey, AuditPublicKey, StateError};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

use super::reader::entry::{Entry, Filter};
use super::reader::follow::Follower;
use super::reader::stats::{Stats, Sum};
use super::reader::stream::{self, Bad, Stream};
use super::reader::verify::{self, Broken, Verified};
use super::reader::{self, LOGS, ReadError, text};
use super::redact::Pattern;
use crate::cli::{
    AuditArgs, AuditCommand, FilterArgs, KeyArgs, SearchArgs, ShowArgs, StatsArgs, VerifyArgs,
};

/// How often new records are looked for.
const LOOK: Duration = Duration::from_millis(200);
/// Identities, roles or methods that are printed for people; all of them are in the JSON.
const PRINTED: usize = 20;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The logs cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The key cannot be read or made.
    #[error(transparent)]
    Key(#[from] StateError),
    /// No key was given, and none is here.
    #[error("there is no key in {0} to verify the audit with")]
    NoKey(PathBuf),
    /// A file with a public key holds none.
    #[error("{0} holds no public key of an audit")]
    KeyFile(PathBuf),
    /// The time makes no sense.
    #[error("--{name}: {text:?} is neither a time nor how long ago")]
    When {
        /// Of which option.
        name: &'static str,
        /// What was given.
        text: String,
    },
    /// The logs are not what the guard wrote.
    #[error("the audit is not what the guard wrote:\n{}", shown(.0))]
    Broken(Vec<Broken>),
    /// Standard output is gone.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

fn shown(broken: &[Broken]) -> String {
    let lines: Vec<String> = broken
        .iter()
        .map(|broken| {
            let line = match broken.line {
                0 => String::new(),
                line => format!(", line {line}"),
            };
            let (file, reason) = (broken.file.display(), broken.reason);
            format!("  {file}{line}: {reason}: {}", broken.problem)
        })
        .collect();
    lines.join("\n")
}

impl CommandError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Read(error) => error.hint(),
            Self::NoKey(_) => {
                "give the public key with --key FILE, as printed on the guard's machine by: hrpyc-guard audit key".into()
            }
            Self::Key(error) => error.hint(),
            Self::KeyFile(_) => "print it on the guard's machine with: hrpyc-guard audit key".into(),
            Self::When { .. } => "write 2026-11-23, 2026-11-23T18:00, 2026-11-23T18:00:00Z or 2h".into(),
            Self::Broken(broken) => {
                let mut hints: Vec<&str> = broken.iter().map(Broken::hint).collect();
                hints.dedup();
                hints.join("\nhint: ")
            }
            Self::Output(_) => "make room, or send it elsewhere".into(),
        }
    }

    /// 2 when the command line was wrong.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::When { .. }) {
            2
        } else {
            1
        }
    }
}

/// Does what was asked.
///
/// # Errors
/// [`CommandError`]; a reader that has seen enough and closed the pipe is none.
pub fn run(args: &AuditArgs) -> Result<(), CommandError> {
    let state = args
        .state_dir
        .clone()
        .unwrap_or_else(certs::default_state_dir);
    let json = args.json;
    let out = &mut io::BufWriter::new(io::stdout().lock());
    let done = match &args.command {
        AuditCommand::Show(show) => self::show(&state, show, json, out),
        AuditCommand::Follow(show) => follow(&state, show, json, out),
        AuditCommand::Search(search) => self::search(&state, search, json, out),
        AuditCommand::Verify(verify) => self::verify(&state, verify, json, out),
        AuditCommand::Stats(stats) => self::stats(&state, stats, json, out),
        AuditCommand::Key(key) => self::key(&state, key, json, out),
    };
    match done.and_then(|()| Ok(out.flush()?)) {
        Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn show(
    state: &Path,
    args: &ShowArgs,
    json: bool,
    out: &mut impl Write,
) -> Result<(), CommandError> {
    let directory = reader::directory(state)?;
    let mut bad = Bad::default();
    let filter = filter(&args.filter)?;
    for entry in stream::last(&directory, &filter, args.last, &mut bad)? {
        print(&entry, json, out)?;
    }
    out.flush()?;
    report(&bad);
    Ok(())
}

fn follow(
    state: &Path,
    args: &ShowArgs,
    json: bool,
    out: &mut impl Write,
) -> Result<(), CommandError> {
    let directory = reader::directory(state)?;
    let filter = filter(&args.filter)?;
    let mut follower = Follower::open(&directory)?;
    let last = stream::last(&directory, &filter, args.last, &mut Bad::default())?;
    for entry in &last {
        if entry.fields.seq <= follower.seen(entry.log) {
            print(entry, json, out)?;
        }
    }
    loop {
        out.flush()?;
        for entry in follower.more()? {
            if filter.wants(&entry.fields) {
                print(&entry, json, out)?;
            }
        }
        out.flush()?;
        std::thread::sleep(LOOK);
    }
}

fn search(
    state: &Path,
    args: &SearchArgs,
    json: bool,
    out: &mut impl Write,
) -> Result<(), CommandError> {
    let directory = reader::directory(state)?;
    let filter = filter(&args.filter)?;
    let pattern = Pattern::new(&format!("*{}*", args.text));
    let mut stream = Stream::open(&directory)?;
    while let Some(entry) = stream.take()? {
        // In the line as people see it too: there a quote is a quote.
        let is_found =
            || pattern.matches(&entry.line) || pattern.matches(&text::line(&entry.fields));
        if filter.wants(&entry.fields) && is_found() {
            print(&entry, json, out)?;
        }
    }
    out.flush()?;
    report(&stream.bad);
    Ok(())
}

fn verify(
    state: &Path,
    args: &VerifyArgs,
    json: bool,
    out: &mut impl Write,
) -> Result<(), CommandError> {
    let directory = reader::directory(state)?;
    let keys = keys(state, &args.key)?;
    let (mut verified, mut broken) = (Vec::new(), Vec::new());
    for log in LOGS {
        match verify::verify(&directory, log, &keys, &args.expect_head)? {
            Ok(log) => verified.push(log),
            Err(log) => broken.push(log),
        }
    }
    if broken.is_empty()
        && let Err(unmet) = verify::all_met(&directory, &verified, &args.expect_head)
    {
        broken.push(unmet);
    }
    if json {
        let logs = serde_json::json!({
            "ok": broken.is_empty(),
            "verified": verified,
            "broken": broken,
        });
        writeln!(out, "{logs}")?;
    } else {
        for log in &verified {
            print_verified(log, out)?;
        }
    }
    out.flush()?;
    if broken.is_empty() {
        Ok(())
    } else {
        Err(CommandError::Broken(broken))
    }
}

fn print_verified(log: &Verified, out: &mut impl Write) -> io::Result<()> {
    let Some((checkpoint, time)) = log.checkpoint.zip(log.checkpoint_time) else {
        return writeln!(out, "{}: nothing has been written yet", log.log);
    };
    writeln!(
        out,
        "{}: lines {} to {} in {} files are what the guard wrote",
        log.log, log.first, log.last, log.files
    )?;
    if log.first > 1 {
        writeln!(
            out,
            "  removed      lines 1 to {}, as the log says itself (audit.keep)",
            log.first - 1
        )?;
    }
    writeln!(out, "  signed       up to line {checkpoint}, at {time:.0}")?;
    match log.unsigned {
        0 => {}
        1 => writeln!(out, "  not signed   1 line behind that")?,
        lines => writeln!(out, "  not signed   {lines} lines behind that")?,
    }
    if log.resumed > 0 {
        writeln!(
            out,
            "  resumed      {} times behind a torn line, as after a kill",
            log.resumed
        )?;
    }
    if log.torn_bytes > 0 {
        writeln!(
            out,
            "  torn         {} bytes at the end: being written, or the guard was killed",
            log.torn_bytes
        )?;
    }
    writeln!(out, "  head         {}:{}:{}", log.log, log.last, log.head)
}

/// The keys that are known: those that were given, or that of the state directory.
fn keys(state: &Path, files: &[PathBuf]) -> Result<Vec<AuditPublicKey>, CommandError> {
    if files.is_empty() {
        if !AuditKey::is_there(state) {
            return Err(CommandError::NoKey(state.to_owned()));
        }
        return Ok(vec![AuditKey::load(state)?.public().clone()]);
    }
    files
        .iter()
        .map(|path| {
            let pem = std::fs::read_to_string(path).map_err(|source| ReadError::Io {
                path: path.clone(),
                source,
            })?;
            AuditPublicKey::from_pem(&pem).ok_or_else(|| CommandError::KeyFile(path.clone()))
        })
        .collect()
}

fn key(state: &Path, args: &KeyArgs, json: bool, out: &mut impl Write) -> Result<(), CommandError> {
    let key = if args.make {
        AuditKey::make(state)?
    } else {
        AuditKey::load(state)?
    };
    let (id, pem) = (key.public().id(), key.public().to_pem());
    if json {
        writeln!(
            out,
            "{}",
            serde_json::json!({ "id": id, "public_key": pem })
        )?;
    } else {
        write!(out, "{pem}")?;
    }
    Ok(())
}

fn stats(
    state: &Path,
    args: &StatsArgs,
    json: bool,
    out: &mut impl Write,
) -> Result<(), CommandError> {
    let directory = reader::directory(state)?;
    let now = Zoned::now();
    let (since, until) = (
        when("since", args.since.as_deref(), &now)?,
        when("until", args.until.as_deref(), &now)?,
    );
    let mut filter = Filter {
        identity: args.identity.clone(),
        since,
        until,
        ..Filter::default()
    };
    let mut stats = Stats::default();
    let mut stream = Stream::open(&directory)?;
    while let Some(entry) = stream.take()? {
        filter.events = vec![entry.fields.event.clone()];
        if filter.wants(&entry.fields) {
            stats.add(&entry.fields);
        }
    }
    stats.finish();
    if json {
        let text = serde_json::to_string(&stats).map_err(io::Error::other)?;
        writeln!(out, "{text}")?;
    } else {
        print_stats(&stats, out)?;
    }
    out.flush()?;
    report(&stream.bad);
    Ok(())
}

fn print_stats(stats: &Stats, out: &mut impl Write) -> io::Result<()> {
    if let (Some(from), Some(to)) = (stats.from, stats.to) {
        writeln!(out, "from {from:.0} to {to:.0}")?;
    }
    writeln!(
        out,
        "sessions {}, refused connections {}, calls {}",
        stats.sessions, stats.refused, stats.all.calls
    )?;
    if stats.waited + stats.turned_away > 0 {
        writeln!(
            out,
            "calls that waited for the audit {}, at longest {}; refused for it {}",
            stats.waited,
            text::duration(stats.longest_wait_us),
            stats.turned_away
        )?;
    }
    for (title, part) in [
        ("identity", &stats.identities),
        ("role", &stats.roles),
        ("method", &stats.methods),
    ] {
        if part.is_empty() {
            continue;
        }
        writeln!(
            out,
            "\n{title:<32} {:>9} {:>7} {:>7} {:>7} {:>9} {:>9} {:>12} {:>12}",
            "calls", "denied", "would", "raised", "p50", "p99", "bytes up", "bytes down"
        )?;
        let mut sums: Vec<(&String, &Sum)> = part.iter().collect();
        sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.calls));
        for (name, sum) in sums.iter().take(PRINTED) {
            let mut shown = String::new();
            text::plain(&mut shown, name);
            let time = |us: Option<u64>| us.map_or("-".into(), text::duration);
            writeln!(
                out,
                "{shown:<32} {:>9} {:>7} {:>7} {:>7} {:>9} {:>9} {:>12} {:>12}",
                sum.calls,
                sum.denied,
                sum.would_be_denied,
                sum.exceptions,
                time(sum.p50_us),
                time(sum.p99_us),
                sum.bytes_up,
                sum.bytes_down
            )?;
        }
        if sums.len() > PRINTED {
            writeln!(out, "and {} more: see --json", sums.len() - PRINTED)?;
        }
    }
    Ok(())
}

fn print(entry: &Entry, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        writeln!(out, "{}", entry.line)
    } else {
        writeln!(out, "{}", text::line(&entry.fields))
    }
}

fn report(bad: &Bad) {
    for (path, line) in &bad.named {
        eprintln!("note: {}, line {line}: not a record", path.display());
    }
    if let Some(more @ 1..) = bad.count.checked_sub(bad.named.len() as u64) {
        eprintln!("note: and {more} lines more");
    }
    if bad.count > 0 {
        eprintln!("hint: whether they are left by a kill is told by: hrpyc-guard audit verify");
    }
}

fn filter(args: &FilterArgs) -> Result<Filter, CommandError> {
    let now = Zoned::now();
    Ok(Filter {
        session: args.session.clone(),
        identity: args.identity.clone(),
        since: when("since", args.since.as_deref(), &now)?,
        until: when("until", args.until.as_deref(), &now)?,
        events: args.event.clone(),
        outcome: args.outcome.clone(),
    })
}

/// A moment, a local date or time, or how long ago.
fn when(
    name: &'static str,
    text: Option<&str>,
    now: &Zoned,
) -> Result<Option<Timestamp>, CommandError> {
    let Some(text) = text else { return Ok(None) };
    let local = |text: &str| {
        let time: jiff::civil::DateTime = text.parse().ok()?;
        let zoned = time.to_zoned(TimeZone::system()).ok()?;
        Some(zoned.timestamp())
    };
    let ago = |text: &str| {
        let span: Span = text.parse().ok()?;
        Some(now.checked_sub(span.abs()).ok()?.timestamp())
    };
    let moment = text.parse().ok();
    let found = moment.or_else(|| local(text)).or_else(|| ago(text));
    found.map(Some).ok_or_else(|| CommandError::When {
        name,
        text: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_in_each_of_the_usual_ways() {
        let now: Zoned = "2026-11-23T18:00[UTC]".parse().unwrap();
        let at = |text: &str| when("since", Some(text), &now).ok().flatten();
        let hour_ago = "2026-11-23T17:00:00Z".parse().ok();
        assert_eq!(at("2026-11-23T17:00:00Z"), hour_ago);
        assert_eq!(at("1h"), hour_ago);
        assert_eq!(at("1d"), "2026-11-22T18:00:00Z".parse().ok());
        assert!(at("2026-11-23").is_some() && at("2026-11-23T17:00").is_some());
        assert!(at("yesterday").is_none());
        let error = when("since", Some("yesterday"), &now).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}
