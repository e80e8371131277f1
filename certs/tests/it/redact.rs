//! Takes out of a program's output what differs from run to run.

/// Replaces directories, dates, fingerprints, codes, serials and ids by what they are.
pub(crate) fn redact(text: &str, directory: &str) -> String {
    let text = text.replace(directory, "[DIR]");
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        out.push_str(&dates(line));
    }
    words(&out)
}

/// `Mon 23 Nov 2026 11:25 UTC` becomes `[DATE]`.
fn dates(line: &str) -> String {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let mut rest = line;
    let mut out = String::new();
    while let Some((at, length)) = DAYS
        .iter()
        .flat_map(|day| rest.match_indices(day))
        .filter_map(|(at, _)| Some((at, date_length(&rest[at..])?)))
        .min()
    {
        // The year tells what the test gave from what the clock gave.
        let date = &rest[at..at + length];
        out.push_str(&rest[..at]);
        out.push_str(if date.contains("2099") {
            date
        } else {
            "[DATE]"
        });
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    out
}

fn date_length(text: &str) -> Option<usize> {
    let end = text.find(" UTC")? + 4;
    (text[..end].split(' ').count() == 6).then_some(end)
}

fn words(text: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.') {
            word.push(c);
        } else {
            out.push_str(&name(&word));
            word.clear();
            out.push(c);
        }
    }
    out.push_str(&name(&word));
    out
}

fn name(word: &str) -> String {
    let bare = word.trim_end_matches(['.', ':']);
    let end = &word[bare.len()..];
    let is_hex = bare.bytes().all(|b| b.is_ascii_hexdigit());
    let what = if bare.starts_with("SHA256:") {
        "[FINGERPRINT]"
    } else if bare.starts_with("hrpyc1-") {
        "[CODE]"
    } else if bare.starts_with("eyJ") {
        "[TOKEN]"
    } else if bare.starts_with("inv-") {
        "[INVITE]"
    } else if is_hex && bare.len() == 40 {
        "[SERIAL]"
    } else if is_hex && bare.len() == 32 {
        "[TOKEN ID]"
    } else if bare.starts_with("store.db.damaged-") {
        "[SET ASIDE]"
    } else if bare.len() >= 20 && bare.starts_with("20") && bare.ends_with('Z') {
        "[TIME]"
    } else {
        bare
    };
    format!("{what}{end}")
}
