//! A record as one line for people.

use std::fmt::Write as _;

use super::entry::Fields;
use crate::audit::calls::CALLED;

/// In the form of a record the place of an argument. The last is that of all that are left.
const PLACE: char = '…';

/// The line. What others could have put into the record cannot steer the terminal.
pub fn line(fields: &Fields) -> String {
    let mut text = format!("{:.3} {:<10}", fields.time, fields.event);
    let mut add = |part: &str| {
        text.push(' ');
        plain(&mut text, part);
    };
    if let Some(identity) = &fields.identity {
        add(short(identity));
    } else if let Some(peer) = &fields.peer {
        add(peer);
    }
    if let Some(role) = &fields.role {
        add(&format!("({role})"));
    }
    for detail in details(fields) {
        add(&detail);
    }
    if let Some(session) = &fields.session {
        add(&format!("[{session}]"));
    }
    text
}

fn details(fields: &Fields) -> Vec<String> {
    let mut parts = Vec::new();
    match fields.event.as_str() {
        "call" => {
            if fields.direction.as_deref() == Some("to-client") {
                parts.push("called back".into());
            }
            parts.push(expression(fields));
            let outcome = fields.outcome.as_deref().unwrap_or_default();
            parts.push(match &fields.rule {
                Some(rule) => format!("{} by {rule}", outcome.to_uppercase()),
                None => outcome.into(),
            });
            parts.extend(fields.exception.clone());
            parts.extend(fields.us.map(duration));
            parts.extend(fields.reference.as_ref().map(|id| format!("ref {id}")));
        }
        "refused" => {
            parts.extend(fields.code.clone());
            parts.extend(fields.sentence.clone());
        }
        "opened" => parts.extend(fields.upstream.as_ref().map(|to| format!("to {to}"))),
        "closed" => {
            parts.extend(fields.reason.clone());
            parts.extend(fields.seconds.map(|seconds| format!("after {seconds:.1}s")));
            let traffic = fields.bytes_up.zip(fields.bytes_down);
            parts.extend(traffic.map(|(up, down)| format!("{up} bytes up, {down} down")));
        }
        "suppressed" => {
            parts.extend(fields.address.clone());
            parts.extend(fields.reason.clone());
            parts.extend(fields.count.map(|count| format!("{count} more")));
        }
        "checkpoint" => {
            parts.extend(fields.why.clone());
            parts.push(format!(
                "signs line {} and all before it",
                fields.seq.saturating_sub(1)
            ));
        }
        "resumed" => parts.extend(fields.torn_bytes.map(|n| format!("behind {n} torn bytes"))),
        "pruned" => {
            parts.extend(fields.file.clone());
            parts.extend(fields.through.map(|n| format!("up to line {n}")));
        }
        _ => {
            parts.extend(fields.reason.clone());
            parts.extend(fields.sentence.clone());
        }
    }
    parts
}

/// What was asked for, as a programmer would have written it.
fn expression(fields: &Fields) -> String {
    let mut text = fields.call.clone().unwrap_or_default();
    let form = fields.form.as_deref().unwrap_or(CALLED);
    let Some((head, end)) = form.rsplit_once(PLACE) else {
        text.push_str(form);
        return text;
    };
    let mut args = fields.args.as_slice();
    let mut parts = head.split(PLACE).peekable();
    while let Some(part) = parts.next() {
        text.push_str(part);
        if parts.peek().is_some()
            && let Some((first, rest)) = args.split_first()
        {
            text.push_str(first);
            args = rest;
        }
    }
    text.push_str(&args.join(", "));
    text.push_str(end);
    text
}

/// Microseconds, for people.
pub fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}us"),
        1_000..1_000_000 => format!("{}.{}ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{}s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// `artist/alice` of `spiffe://studio.example/artist/alice`.
pub fn short(identity: &str) -> &str {
    identity
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.split_once('/'))
        .map_or(identity, |(_, name)| name)
}

/// Adds a text with control characters made visible.
pub fn plain(out: &mut String, text: &str) {
    for c in text.chars() {
        let steers = c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if steers {
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Entry;
    use super::*;

    #[test]
    fn a_line_cannot_steer_the_terminal() {
        let json = r#"{"time":"2026-11-23T10:00:00.123456Z","event":"call","seq":1,"session":"s","call":"\u001b[2J\u202ehou.x","args":["'\n'"],"outcome":"ok","us":1234}"#;
        let entry = Entry::read("calls", json.as_bytes()).unwrap();
        assert_eq!(
            line(&entry.fields),
            r"2026-11-23T10:00:00.123Z call       \u{1b}[2J\u{202e}hou.x('\u{a}') ok 1.2ms [s]"
        );
    }

    #[test]
    fn what_is_no_call_is_not_shown_as_one() {
        let shown = |more: &str| {
            let head = r#"{"time":"2026-11-23T10:00:00Z","event":"call","seq":1,"call":"hou.x""#;
            let json = format!("{head}{more}}}");
            expression(&Entry::read("calls", json.as_bytes()).unwrap().fields)
        };
        assert_eq!(shown(""), "hou.x()");
        assert_eq!(shown(r#","args":["1","b=2"]"#), "hou.x(1, b=2)");
        assert_eq!(shown(r#","form":"","args":["1"]"#), "hou.x");
        assert_eq!(shown(r#","form":" = …","args":["1"]"#), "hou.x = 1");
        assert_eq!(
            shown(r#","form":"[…] = …","args":["1","2"]"#),
            "hou.x[1] = 2"
        );
        assert_eq!(shown(r#","form":"[…] = …""#), "hou.x[] = ");
        assert_eq!(shown(r#","form":"[…]","args":["…"]"#), "hou.x[…]");
    }

    #[test]
    fn a_record_that_somebody_made_up_is_shown_as_well() {
        let json = r#"{"time":"2026-11-23T10:00:00Z","event":"checkpoint","seq":0,"why":"time"}"#;
        let entry = Entry::read("calls", json.as_bytes()).unwrap();
        assert_eq!(
            line(&entry.fields),
            "2026-11-23T10:00:00.000Z checkpoint time signs line 0 and all before it"
        );
    }
}
