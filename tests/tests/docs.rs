//! What the documentation says exists, and the other way round.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use wire::Code;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(path)).unwrap()
}

#[test]
fn every_error_code_is_documented_and_every_documented_code_exists() {
    let documented: BTreeSet<String> = read("docs/errors.md")
        .lines()
        // The classes of Python exceptions stand in a table of their own.
        .take_while(|line| !line.starts_with("## How a refusal looks"))
        .filter_map(|line| {
            line.strip_prefix("| `")?
                .split_once('`')
                .map(|(code, _)| code.into())
        })
        .collect();
    let existing: BTreeSet<String> = Code::ALL
        .iter()
        .map(|code| code.as_str().to_owned())
        .collect();
    assert_eq!(documented, existing);
}

#[test]
fn every_document_that_is_linked_exists() {
    for page in ["README.md", "docs/operations.md", "deploy/README.md"] {
        let folder = Path::new(page).parent().unwrap();
        for link in read(page).split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                read(folder.join(target).to_str().unwrap());
            }
        }
    }
}
