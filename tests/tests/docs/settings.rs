//! The guard's settings: those that `docs/configuration.md` shows, and those that there are.

use std::collections::BTreeSet;

use guard::config::{Config, ConfigError, check};

use crate::page::{Page, read};

/// Loads a configuration as the guard does.
pub(crate) fn load(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guard.toml");
    std::fs::write(&path, text).unwrap();
    check(&path).map_err(|error| match error {
        ConfigError::File { problem, .. } => problem,
        other => other.to_string(),
    })
}

/// The names that the guard knows in a table of its configuration, as it tells them to whoever
/// types one that it does not know.
fn known_in(table: &str) -> BTreeSet<String> {
    let header = if table.is_empty() {
        String::new()
    } else {
        format!("[{table}]\n")
    };
    let told = load(&format!("{header}no-such-setting = 1")).unwrap_err();
    let (_, list) = told.split_once("expected one of ").unwrap();
    let names = list.split('`').skip(1).step_by(2);
    names
        .map(|name| {
            if table.is_empty() {
                name.to_owned()
            } else {
                format!("{table}.{name}")
            }
        })
        .collect()
}

/// All names that the guard knows.
fn known() -> BTreeSet<String> {
    let mut known = known_in("");
    for table in ["limits", "audit"] {
        assert!(known.remove(table));
        known.extend(known_in(table));
    }
    known
}

/// The example of the page, with what is commented out made part of it.
fn documented() -> String {
    let page = Page::new("docs/configuration.md", &read("docs/configuration.md"));
    let block = page
        .blocks
        .iter()
        .find(|b| b.language.as_deref() == Some("toml"));
    let lines = &block.unwrap().lines;
    lines
        .iter()
        .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line)))
        .collect()
}

fn names_in(text: &str) -> BTreeSet<String> {
    let mut table = String::new();
    let mut names = BTreeSet::new();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[') {
            table = format!("{}.", header.trim_end_matches(']'));
        } else if let Some((name, _)) = line.split_once(" = ")
            && !line.starts_with([' ', '#'])
        {
            names.insert(format!("{table}{name}"));
        }
    }
    names
}

#[test]
fn every_setting_is_documented_and_every_documented_setting_exists() {
    let text = documented();
    load(&text).unwrap();
    assert_eq!(names_in(&text), known());
}

#[test]
fn every_setting_that_a_page_mentions_exists() {
    let known = known();
    for page in crate::page::all() {
        for (number, code) in &page.mentions {
            let setting = code.starts_with("limits.") || code.starts_with("audit.");
            assert!(
                !setting || known.contains(code),
                "{}:{number}: {code}",
                page.path
            );
        }
    }
}

#[test]
fn the_bounds_in_the_documentation_are_the_defaults() {
    let page = Page::new("docs/configuration.md", &read("docs/configuration.md"));
    let block = page
        .blocks
        .iter()
        .find(|b| b.language.as_deref() == Some("toml"));
    let shown = load(&block.unwrap().text()).unwrap();
    let defaults = load("").unwrap();
    assert_eq!(
        format!("{:?}", shown.limits),
        format!("{:?}", defaults.limits)
    );
    assert_eq!(
        format!("{:?}", shown.audit),
        format!("{:?}", defaults.audit)
    );
    assert_eq!(shown.listen, defaults.listen);
    assert_eq!(shown.drain_timeout, defaults.drain_timeout);
}

#[test]
fn a_setting_that_is_left_out_or_made_up_would_be_found() {
    let limits = known_in("limits");
    assert!(
        limits.contains("limits.sessions") && limits.len() > 5,
        "{limits:?}"
    );
    let names = names_in("listen = 'x'\n[limits]\nsessions = 1\n    \"a = b\",\n");
    assert_eq!(
        names,
        BTreeSet::from(["listen".into(), "limits.sessions".into()])
    );
    assert!(load("[limits]\nsesions = 1").is_err());
}
