//! `docs/tls.md` lists the cipher suites and the key exchanges that there are, and no others.

use std::collections::BTreeSet;

use crate::page::read;

/// What the row of a table names between backticks.
fn row(page: &str, name: &str) -> BTreeSet<String> {
    let begin = format!("| {name} |");
    let line = page.lines().find(|line| line.starts_with(&begin)).unwrap();
    let named = line.split('`').skip(1).step_by(2);
    named.map(str::to_owned).collect()
}

#[test]
fn the_page_lists_what_is_spoken() {
    let page = read("docs/tls.md");
    let provider = wire::tls::provider();
    let suites = provider.cipher_suites.iter().map(|suite| {
        let name = format!("{:?}", suite.suite());
        name.replacen("TLS13_", "TLS_", 1)
    });
    assert_eq!(row(&page, "cipher suites"), suites.collect());
    let groups = provider.kx_groups.iter();
    let groups = groups.map(|group| format!("{:?}", group.name()));
    assert_eq!(row(&page, "key exchange"), groups.collect());
}

#[test]
fn a_row_is_read() {
    let found = row("| a | `x`, `y` |\n| b | `z` (not `x`) |\n", "b");
    assert_eq!(found, BTreeSet::from(["x".into(), "z".into()]));
}
