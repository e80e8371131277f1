//! What the documentation says exists, and the other way round. Every command in it is read by
//! the parser of the program that it calls.

#![allow(clippy::unwrap_used)]

mod command;
mod dependencies;
mod page;
mod settings;
mod shell;
mod tls;
mod unsafe_code;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use page::{Page, read, root};
use wire::Code;

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
fn every_command_that_is_told_to_be_typed_is_understood() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in page::all() {
        for (number, line) in command::lines(&page) {
            count += 1;
            if let Err(error) = command::check(&page.path, &line) {
                wrong.push(format!("{}:{number}: {line}\n  {error}", page.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 20, "only {count} commands were found");
}

#[test]
fn every_command_and_option_that_is_mentioned_exists() {
    let mut wrong = Vec::new();
    for page in page::all() {
        for (number, code) in &page.mentions {
            if let Err(error) = command::check_mention(&page.path, code) {
                wrong.push(format!("{}:{number}: `{code}`: {error}", page.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_block_is_of_a_kind_that_is_checked() {
    for page in page::all() {
        for block in &page.blocks {
            let place = format!("{}:{}", page.path, block.line);
            let result = match block.language.as_deref() {
                // Typed into a shell; checked by the tests above.
                None | Some("sh" | "console") => Ok(()),
                // Pictures.
                Some("text") => Ok(()),
                Some("python") => compile_python(&block.text()),
                Some("toml") if block.text().contains("[role.") => policy(&block.text()),
                Some("toml") if block.text().contains("[[case]]") => cases(&block.text()),
                Some("toml") => settings::load(&block.text()).map(|_| ()),
                Some(other) => Err(format!("nobody checks the language {other:?}")),
            };
            assert_eq!(result, Ok(()), "{place}");
        }
    }
}

/// Reads cases as `policy test` does. What they expect is of the policy of their page.
fn cases(text: &str) -> Result<(), String> {
    let found: toml::Table = text.parse().map_err(|e| format!("{e}"))?;
    let all = found["case"].as_array().ok_or("no list of cases")?;
    let keys = ["role", "expression", "expect", "rule"];
    let known = |case: &toml::Value| {
        let table = case.as_table();
        table.is_some_and(|table| table.keys().all(|key| keys.contains(&key.as_str())))
    };
    all.iter()
        .all(known)
        .then_some(())
        .ok_or("an unknown key".into())
}

/// Reads a policy file as the guard does.
fn policy(text: &str) -> Result<(), String> {
    guard::rules::Policy::parse(text).map(|_| ())
}

/// Compiles it as the oldest Python that the project serves would.
fn compile_python(text: &str) -> Result<(), String> {
    const SCRIPT: &str = "import ast, sys; ast.parse(sys.stdin.read(), feature_version=(3, 9))";
    let python = if cfg!(windows) { "python" } else { "python3" };
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{python}: {e}"))?;
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(()).ok_or(said)
}

#[test]
fn python_and_settings_that_are_wrong_are_found() {
    assert!(compile_python("import hrpyc_guard as hrpyc\n").is_ok());
    assert!(compile_python("connection, hou = hrpyc.import_remote_module(\n").is_err());
    assert!(settings::load("listen = '0.0.0.0:18812'").is_ok());
    assert!(settings::load("lisen = '0.0.0.0:18812'").is_err());
    assert!(policy("[role.full]\ninspect = 'off'").is_ok());
    assert!(policy("[role.full]\ninspekt = 'off'").is_err());
}

#[test]
fn every_link_leads_somewhere_and_every_page_is_reached_from_the_readme() {
    let pages: BTreeMap<String, Page> = page::all()
        .into_iter()
        .map(|p| (p.path.clone(), p))
        .collect();
    let mut broken = Vec::new();
    let mut reached = BTreeSet::from(["README.md".to_owned()]);
    let mut next = vec!["README.md".to_owned()];
    while let Some(path) = next.pop() {
        let page = &pages[&path];
        for (number, link) in &page.links {
            match leads_to(page, link, &pages) {
                Ok(Some(path)) if reached.insert(path.clone()) => next.push(path),
                Ok(_) => {}
                Err(error) => broken.push(format!("{path}:{number}: {error}")),
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let all: BTreeSet<String> = pages.into_keys().collect();
    assert_eq!(
        reached, all,
        "pages that can be reached, and pages that there are"
    );
}

/// The page that a link leads to, if it leads to one.
fn leads_to(
    page: &Page,
    link: &str,
    pages: &BTreeMap<String, Page>,
) -> Result<Option<String>, String> {
    let Some((path, anchor)) = page.target(link) else {
        return Ok(None);
    };
    match (pages.get(&path), anchor) {
        (Some(target), Some(anchor)) if !target.anchors.contains(&anchor) => {
            Err(format!("{path} has no heading #{anchor}"))
        }
        (Some(_), _) => Ok(Some(path)),
        (None, None) if root().join(&path).exists() => Ok(None),
        (None, _) => Err(format!("there is no {path}")),
    }
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = Page::new("docs/a.md", "# Here\n");
    let pages = BTreeMap::from([("docs/a.md".to_owned(), Page::new("docs/a.md", "# Here\n"))]);
    assert_eq!(
        leads_to(&page, "#here", &pages),
        Ok(Some("docs/a.md".into()))
    );
    assert_eq!(leads_to(&page, "../deploy/guard.toml", &pages), Ok(None));
    for wrong in ["#there", "b.md", "../deploy/guard.yaml", "a.md#there"] {
        assert!(leads_to(&page, wrong, &pages).is_err(), "{wrong}");
    }
}
