//! What is depended on, `docs/dependencies.md`, and the code that needs it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::page::{read, root};

/// A direct dependency: its name, and whether only tests need it.
type Dependency = (String, bool);

/// Sources that a package takes from elsewhere.
const BORROWED: [(&str, &str); 2] = [
    ("tests", "tests/fuzz/src/outside"),
    ("tests/fuzz", "rpyc/tests/support"),
];

/// The folders of all packages: the workspace's, and that of the fuzz targets.
pub(crate) fn packages() -> Vec<String> {
    let manifest = manifest("Cargo.toml");
    let members = manifest["workspace"]["members"].as_array().unwrap();
    let mut folders: Vec<String> = members
        .iter()
        .map(|member| member.as_str().unwrap().to_owned())
        .collect();
    folders.push("tests/fuzz".into());
    folders
}

pub(crate) fn manifest(path: &str) -> toml::Table {
    read(path).parse().unwrap()
}

/// What a manifest asks for from outside.
fn asked_for(manifest: &toml::Table) -> BTreeSet<Dependency> {
    let mut found = BTreeSet::new();
    let mut tables = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(|t| t.as_table()) {
        tables.extend(targets.values().map(|target| target.as_table().unwrap()));
    }
    let shared = self::manifest("Cargo.toml");
    let shared = &shared["workspace"]["dependencies"];
    for table in tables {
        for (kind, for_tests) in [
            ("dependencies", false),
            ("dev-dependencies", true),
            ("build-dependencies", false),
        ] {
            let entries = table.get(kind).and_then(|entries| entries.as_table());
            for (name, here) in entries.into_iter().flatten() {
                let is_shared = here.get("workspace").is_some();
                let entry = if is_shared { &shared[name] } else { here };
                if entry.get("path").is_some() {
                    continue;
                }
                let name = entry
                    .get("package")
                    .map_or(&**name, |n| n.as_str().unwrap());
                found.insert((name.to_owned(), for_tests));
            }
        }
    }
    found
}

/// What the section of a package on the page lists. Every line must say why.
fn listed(page: &str, package: &str) -> BTreeSet<Dependency> {
    let heading = format!("## {package}\n");
    let (_, section) = page.split_once(&heading).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut found = BTreeSet::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, dependency, why, _] = cells[..] else {
            panic!("not two columns: {line}");
        };
        assert!(why.len() > 10, "no reason: {line}");
        let name = dependency.split('`').nth(1).unwrap();
        let is_new = found.insert((name.to_owned(), dependency.ends_with("(tests)")));
        assert!(is_new, "{package} lists {name} twice");
    }
    found
}

/// Whether Rust code in one of these folders names a crate.
fn is_used(folders: &[PathBuf], name: &str) -> bool {
    // The name under which the workspace has it.
    let name = if name == "rustls-webpki" {
        "webpki"
    } else {
        name
    };
    let name = name.replace('-', "_");
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let mentions = |text: &str| {
        text.match_indices(&name).any(|(at, _)| {
            !text[..at].ends_with(in_word) && !text[at + name.len()..].starts_with(in_word)
        })
    };
    folders.iter().any(|folder| {
        let mut found = false;
        each_source(folder, &mut |text| found |= mentions(text));
        found
    })
}

/// Hands the code of every Rust file below a folder on, without its comments.
fn each_source(folder: &Path, seen: &mut dyn FnMut(&str)) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_source(&path, seen);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code: String = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .map(|line| format!("{line}\n"))
                .collect();
            seen(&code);
        }
    }
}

#[test]
fn every_dependency_is_on_the_page_and_the_page_lists_no_other() {
    let page = read("docs/dependencies.md");
    for package in packages() {
        let asked = asked_for(&manifest(&format!("{package}/Cargo.toml")));
        assert!(!asked.is_empty(), "{package}");
        assert_eq!(listed(&page, &package), asked, "{package}");
    }
    let sections = page.lines().filter(|line| line.starts_with("## ")).count();
    assert_eq!(
        sections,
        packages().len() + 2,
        "a section of no package, or a package without one"
    );
}

#[test]
fn every_dependency_is_used() {
    for package in packages() {
        let folder = root().join(&package);
        let mut sources: Vec<PathBuf> = ["src", "fuzz_targets"].map(|f| folder.join(f)).into();
        let borrowed = BORROWED.iter().filter(|(of, _)| *of == package);
        sources.extend(borrowed.map(|(_, path)| root().join(path)));
        for (name, for_tests) in asked_for(&manifest(&format!("{package}/Cargo.toml"))) {
            let mut folders = sources.clone();
            if for_tests {
                folders.extend(["tests", "benches", "examples"].map(|f| folder.join(f)));
            }
            assert!(
                is_used(&folders, &name),
                "{package} asks for {name} and does not use it"
            );
        }
    }
}

#[test]
fn a_dependency_that_is_not_listed_or_not_used_would_be_found() {
    let asked = asked_for(
        &"dependencies.jiff.workspace = true\ndependencies.wire.workspace = true\n\
          dev-dependencies.left-pad = '1'\ntarget.'cfg(unix)'.dependencies.nix = '0.30'"
            .parse()
            .unwrap(),
    );
    let expected = [("jiff", false), ("left-pad", true), ("nix", false)];
    let expected = expected.map(|(name, tests)| (name.to_owned(), tests));
    assert_eq!(asked, BTreeSet::from(expected));
    let page = "## wire\n\n| `jiff` | dates and their zones |\n\n## x\n\n| `y` | for nothing |\n";
    let expected = BTreeSet::from([("jiff".to_owned(), false)]);
    assert_eq!(listed(page, "wire"), expected);
    let folder = tempfile::tempdir().unwrap();
    let source = "// left_pad::pad\nlet left_padding = 1; jiff::Timestamp::now();\n";
    std::fs::write(folder.path().join("a.rs"), source).unwrap();
    let folders = [folder.path().to_owned()];
    assert!(is_used(&folders, "jiff"));
    assert!(!is_used(&folders, "left-pad"));
}
