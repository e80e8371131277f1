//! `hrpyc-guard audit`: what it prints.

mod printing;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use certs::{AuditKey, AuditPublicKey, StateError};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

use super::reader::entry::Filter;
use super::reader::follow::Follower;
use super::reader::stats::Stats;
use super::reader::stream::{self, Bad, Stream};
use super::reader::verify::{self, Broken};
use super::reader::{self, LOGS, ReadError, text};
use super::redact::Pattern;
use crate::cli::{
    AuditArgs, AuditCommand, FilterArgs, KeyArgs, OfArgs, SearchArgs, ShowArgs, VerifyArgs,
};
use printing::{print, print_stats, print_verified, report};

/// How often new records are looked for.
const LOOK: Duration = Duration::from_millis(200);

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
    while let Some(entry) = stream.take_next()? {
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
    args: &OfArgs,
    json: bool,
    out: &mut impl Write,
) -> Result<(), CommandError> {
    let directory = reader::directory(state)?;
    let mut filter = of(args)?;
    let mut stats = Stats::default();
    let mut stream = Stream::open(&directory)?;
    while let Some(entry) = stream.take_next()? {
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

fn filter(args: &FilterArgs) -> Result<Filter, CommandError> {
    Ok(Filter {
        session: args.session.clone(),
        events: args.event.clone(),
        outcome: args.outcome.clone(),
        ..of(&args.of)?
    })
}

fn of(args: &OfArgs) -> Result<Filter, CommandError> {
    let now = Zoned::now();
    Ok(Filter {
        identity: args.identity.clone(),
        since: when("since", args.since.as_deref(), &now)?,
        until: when("until", args.until.as_deref(), &now)?,
        ..Filter::default()
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
    use super::super::reader::verify::Verified;
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

    #[test]
    fn what_is_not_signed_yet_is_counted_and_said() {
        let mut log = Verified::default();
        (log.lines, log.first, log.last) = (12, 1, 12);
        (log.checkpoint, log.checkpoint_time) = (Some(10), Some(Timestamp::UNIX_EPOCH));
        let shown = |log: &Verified| {
            let mut out = Vec::new();
            print_verified(log, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(!shown(&log).contains("not yet"));
        log.unsigned = 2;
        let text = shown(&log);
        assert!(text.contains("signed       up to line 10"), "{text}");
        assert!(text.contains("not yet      2 lines since then"), "{text}");
    }
}
