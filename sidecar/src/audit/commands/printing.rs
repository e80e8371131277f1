//! The lines and tables for people.

use std::io::{self, Write};

use super::super::reader::entry::Entry;
use super::super::reader::stats::{Stats, Sum};
use super::super::reader::stream::Bad;
use super::super::reader::text;
use super::super::reader::verify::Verified;

/// Identities, roles or methods that are printed for people; all of them are in the JSON.
const PRINTED: usize = 20;

pub(super) fn print_verified(log: &Verified, out: &mut impl Write) -> io::Result<()> {
    if log.lines == 0 {
        return writeln!(out, "{}: nothing has been written yet", log.log);
    }
    let signed = log.checkpoint.zip(log.checkpoint_time);
    let what = match signed {
        Some(_) => "are what the guard wrote",
        None => "follow each other, and nothing has signed them yet",
    };
    writeln!(
        out,
        "{}: lines {} to {} in {} files {what}",
        log.log, log.first, log.last, log.files
    )?;
    if log.first > 1 {
        writeln!(
            out,
            "  removed      lines 1 to {}, as the log says itself (audit.keep)",
            log.first - 1
        )?;
    }
    match signed {
        None => writeln!(
            out,
            "  not yet      a guard signs a second after its first record: verify again then"
        )?,
        Some((checkpoint, time)) => {
            writeln!(out, "  signed       up to line {checkpoint}, at {time:.0}")?;
            match log.unsigned {
                0 => {}
                1 => writeln!(
                    out,
                    "  not yet      1 line since then, which the next checkpoint signs"
                )?,
                lines => writeln!(
                    out,
                    "  not yet      {lines} lines since then, which the next checkpoint signs"
                )?,
            }
        }
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

pub(super) fn print_stats(stats: &Stats, out: &mut impl Write) -> io::Result<()> {
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

pub(super) fn print(entry: &Entry, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        writeln!(out, "{}", entry.line)
    } else {
        writeln!(out, "{}", text::line(&entry.fields))
    }
}

pub(super) fn report(bad: &Bad) {
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
