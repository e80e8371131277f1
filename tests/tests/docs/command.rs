//! Is what the documentation tells people to type something that the programs understand?

use clap::{CommandFactory as _, Parser as _};
use wire::{Identity, TrustDomain};

use crate::page::{Block, Page, read};
use crate::shell;

/// Commands of others: the page, the first words of each, and the test that vouches for it
/// instead, or why none can.
const OTHERS: &[(&str, &[&str], &str)] = &[
    (FIRST, &["python", "scale.py"], WALKED),
    (FIRST, &["python", "scale2.py"], WALKED),
    (FIRST, &["python", "-m", "hrpyc_guard", "doctor"], WALKED),
    (FIRST, &["nft", "-c", "-f", RULES], WALKED),
    (FIRST, &["nft", "-f", RULES], WALKED),
    (FIRST, &["nft", "list", "table", "inet", TABLE], WALKED),
    (
        PYTHON,
        &["pip", "install"],
        "tests/python/package/test_package_wheel.py",
    ),
    (
        FIRST,
        &["pip", "install"],
        "tests/python/package/test_package_wheel.py",
    ),
    (
        PYTHON,
        &["python", "-m", "hrpyc_guard", "doctor"],
        "tests/python/package/test_package_doctor.py",
    ),
    (
        DEPLOY,
        &["nft", "-c", "-f", INSTALLED_RULES],
        "tests/python/test_deploy_nftables.py",
    ),
    (
        DEPLOY,
        &["nft", "-f", INSTALLED_RULES],
        "tests/python/test_deploy_nftables.py",
    ),
    (
        DEPLOY,
        &["systemctl", "daemon-reload"],
        "tests/python/test_deploy_systemd.py",
    ),
    (
        DEPLOY,
        &["systemctl", "enable", "--now", "hrpyc-guard"],
        "tests/python/test_deploy_systemd.py",
    ),
    (
        DEPLOY,
        &["docker", "compose", "-f", "container/compose.yaml", "up"],
        NO_ENGINE,
    ),
    (
        DEPENDENCIES,
        &["cargo", "deny", "--workspace", "check"],
        "tests/python/test_supply_chain.py",
    ),
    (
        FUZZING,
        &[
            "cargo",
            "run",
            "--manifest-path",
            FUZZ_TARGETS,
            "--bin",
            "seeds",
        ],
        BY_HAND,
    ),
    (
        FUZZING,
        &["cargo", "fuzz", "run", "--fuzz-dir", "tests/fuzz"],
        BY_HAND,
    ),
    (
        RPYC,
        &["unshare", "--user", "--map-current-user", "--net"],
        BY_HAND,
    ),
    (DEPLOY, &["useradd", "--system"], OF_THE_SYSTEM),
    (DEPLOY, &["install"], OF_THE_SYSTEM),
    (DEPLOY, &["cp", "-r", "houdini"], OF_THE_SYSTEM),
    (DEPLOY, &["cp", "houdini/hrpyc_guard.json"], OF_THE_SYSTEM),
];

/// Options of other programs that a sentence mentions alone.
const OPTIONS_OF_OTHERS: &[(&str, &str)] = &[(DEPLOY, "--volumes")];

const FIRST: &str = "docs/first-five-minutes.md";
const PYTHON: &str = "docs/python.md";
const DEPENDENCIES: &str = "docs/dependencies.md";
const DEPLOY: &str = "deploy/README.md";
const FUZZING: &str = "docs/fuzzing.md";
const RPYC: &str = "docs/rpyc.md";
const FUZZ_TARGETS: &str = "tests/fuzz/Cargo.toml";
const RULES: &str = "deploy/nftables/hrpyc-guard.nft";
const INSTALLED_RULES: &str = "/etc/nftables.d/hrpyc-guard.nft";
const TABLE: &str = "hrpyc_guard";

/// The test that takes every step of the page.
const WALKED: &str = "tests/python/test_first_five_minutes.py";
/// There was no container engine to run it with.
const NO_ENGINE: &str = "no container engine";
/// It changes the machine, and does nothing of ours; the files it names are there.
const OF_THE_SYSTEM: &str = "of the system";
/// It takes long, or needs what is not kept here. What was seen stands on the page, with the date.
const BY_HAND: &str = "run by hand";

/// Every line of the page that is typed into a shell, with its number.
///
/// An indented block and one of the language `sh` hold nothing else. In a `console` block what is
/// typed stands behind a prompt that ends in `$` or `#`, and the rest is what is seen then.
pub(crate) fn lines(page: &Page) -> Vec<(usize, String)> {
    page.blocks.iter().flat_map(typed).collect()
}

fn typed(block: &Block) -> Vec<(usize, String)> {
    let (shell, prompted) = match block.language.as_deref() {
        None | Some("sh") => (true, false),
        Some("console") => (true, true),
        Some(_) => (false, false),
    };
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in (block.line..).zip(&block.lines) {
        if !shell {
            break;
        }
        let line = if goes_on {
            format!("{}{}", lines.pop().unwrap().1, line.trim_start())
        } else {
            match prompt(line) {
                Some(typed) => typed.to_owned(),
                None if prompted => continue,
                None => line.clone(),
            }
        };
        goes_on = line.ends_with('\\');
        let line = line.strip_suffix('\\').unwrap_or(&line);
        lines.push((number, line.to_owned()));
    }
    lines
}

/// What stands behind `$ `, `ws12$ ` or `ws12# `.
fn prompt(line: &str) -> Option<&str> {
    let (prompt, typed) = line.split_once(' ')?;
    let host = prompt.strip_suffix(['$', '#'])?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '@');
    (host.chars().all(plain) && prompt != "#").then_some(typed)
}

/// Checks all commands of a line of a page.
///
/// # Errors
/// Says which of them nobody understands.
pub(crate) fn check(page: &str, line: &str) -> Result<(), String> {
    for words in shell::commands(line)? {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        check_one(page, &words)?;
    }
    Ok(())
}

fn check_one(page: &str, words: &[&str]) -> Result<(), String> {
    let shown = |e: clap::Error| e.to_string();
    match words {
        ["sudo", "-u", _, rest @ ..]
        | ["runuser", "-u", _, "--", rest @ ..]
        | ["docker", "compose", "-f", _, "exec", _, rest @ ..] => check_one(page, rest),
        ["hrpyc-guard", ..] => {
            let cli = guard::cli::Cli::try_parse_from(words).map_err(shown)?;
            let runs = cli.command.is_none() && cli.run.config.is_none();
            match guard::config::resolve(&cli.run) {
                Err(error) if runs => Err(error.to_string()),
                _ => Ok(()),
            }
        }
        ["hrpyc-agent", ..] => agent::cli::Args::try_parse_from(words)
            .map(|_| ())
            .map_err(shown),
        ["hrpyc-certs", ..] => {
            use certs::arguments::{Arguments, Command};
            let parsed = Arguments::try_parse_from(words).map_err(shown)?;
            match parsed.command {
                Command::Invite(a) => identity(&a.name),
                Command::Grant(a) => identity(&a.name),
                Command::Issue(a) => identity(&a.name),
                Command::Token(a) => identity(&a.name),
                Command::Show(a) => identity(&a.name),
                _ => Ok(()),
            }
        }
        ["cargo", "build", rest @ ..] if rest.iter().all(|word| *word == "--release") => Ok(()),
        ["cargo", alias, rest @ ..]
            if !alias.starts_with('-') && !["deny", "fuzz", "run"].contains(alias) =>
        {
            let known = read(".cargo/config.toml")
                .lines()
                .any(|line| line.starts_with(&format!("{alias} = ")));
            let steps = ["format", "lint", "dependencies", "rust", "python"];
            let fits = rest
                .iter()
                .all(|word| *alias == "verify" && steps.contains(word));
            (known && fits)
                .then_some(())
                .ok_or_else(|| format!("cargo {alias} is no alias of this project, or not so"))
        }
        _ => OTHERS
            .iter()
            .any(|(on, start, _)| *on == page && words.starts_with(start))
            .then_some(())
            .ok_or_else(|| format!("nothing vouches for `{}`", words.join(" "))),
    }
}

fn identity(name: &str) -> Result<(), String> {
    let domain: TrustDomain = "studio.example".parse().unwrap();
    Identity::from_shorthand(name, &domain)
        .map(|_| ())
        .map_err(|e| e.to_string())
}

/// Checks a command that a sentence only mentions: its subcommands and options must exist.
///
/// # Errors
/// Says what does not.
pub(crate) fn check_mention(page: &str, code: &str) -> Result<(), String> {
    let mut programs = [
        guard::cli::Cli::command(),
        agent::cli::Args::command(),
        certs::arguments::Arguments::command(),
    ];
    // Adds what every program has, such as --help.
    programs.iter_mut().for_each(clap::Command::build);
    let words: Vec<&str> = code.split_whitespace().collect();
    let Some(first) = words.first() else {
        return Ok(());
    };
    if let Some(program) = programs.iter().find(|p| p.get_name() == *first) {
        return mention_fits(program, &words[1..]);
    }
    if first.starts_with("--") && first.len() > 2 {
        let known = programs.iter().any(|program| has_option(program, first))
            || OPTIONS_OF_OTHERS.contains(&(page, first));
        return known
            .then_some(())
            .ok_or_else(|| format!("no program has the option {first}"));
    }
    Ok(())
}

fn mention_fits(program: &clap::Command, words: &[&str]) -> Result<(), String> {
    let mut command = program;
    let mut in_subcommands = true;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word.starts_with("--") {
            let name = word.split('=').next().unwrap_or(word);
            let Some(option) = option(command, name).or_else(|| option(program, name)) else {
                return Err(format!("{} has no {name}", command.get_name()));
            };
            if option.get_action().takes_values() && name == *word {
                words.next();
            }
        } else if in_subcommands {
            match command.find_subcommand(word) {
                Some(found) => command = found,
                None if command.get_positionals().next().is_none() => {
                    return Err(format!("{} has no command {word}", command.get_name()));
                }
                None => in_subcommands = false,
            }
        }
    }
    Ok(())
}

fn has_option(command: &clap::Command, name: &str) -> bool {
    option(command, name).is_some() || command.get_subcommands().any(|sub| has_option(sub, name))
}

fn option<'a>(command: &'a clap::Command, name: &str) -> Option<&'a clap::Arg> {
    let name = name.strip_prefix("--");
    command.get_arguments().find(|a| a.get_long() == name)
}

#[test]
fn every_command_of_others_is_on_its_page_and_its_test_exists() {
    let pages = crate::page::all();
    for (path, start, test) in OTHERS {
        let page = pages.iter().find(|page| page.path == *path);
        let page = page.unwrap_or_else(|| panic!("there is no {path}"));
        if test.contains('/') {
            assert!(read(test).contains("def test_"), "{test}");
        }
        let typed = lines(page);
        let used = typed.iter().any(|(_, line)| {
            let commands = shell::commands(line).unwrap();
            commands.iter().any(|words| {
                words
                    .iter()
                    .map(String::as_str)
                    .take(start.len())
                    .eq(start.iter().copied())
            })
        });
        assert!(used, "{start:?} is not on {path} any more");
    }
}

#[test]
fn a_command_that_nobody_understands_is_found() {
    for right in [
        "hrpyc-guard --upstream 127.0.0.1:18811-18820",
        "hrpyc-certs --json show alice | hrpyc-agent join -",
        "hrpyc-agent connect ws13/18813=18823 ws12=18811",
        "hrpyc-certs grant service/farm --access-until '2026-12-18 18:00'  # or never",
        "cargo verify python",
    ] {
        assert_eq!(check("README.md", right), Ok(()), "{right}");
    }
    for wrong in [
        "hrpyc-guard --lisen 0.0.0.0:18812",
        "hrpyc-guard --listen here",
        "hrpyc-guard --upstream 10.0.0.1:18811",
        "hrpyc-agent conect",
        "hrpyc-agent connect ws12=ws13",
        "hrpyc-agent status; hrpyc-agent status --jsn",
        "hrpyc-certs revoke alice",
        "hrpyc-certs invite artist:alice --role full",
        "hrpyc-certs grant alice --access-until soon",
        "cargo dmo",
        "cargo verify pyhton",
        "cargo run --bin seeds",
        "curl https://example.org",
        // On another page it is vouched for.
        "python scale.py",
    ] {
        assert!(check("README.md", wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_mention_of_what_does_not_exist_is_found() {
    for right in [
        "hrpyc-certs revoke",
        "hrpyc-agent connect ws12",
        "--advertise",
        "hrpyc-guard",
        "x --y",
    ] {
        assert_eq!(check_mention("README.md", right), Ok(()), "{right}");
    }
    for wrong in [
        "hrpyc-certs remove alice",
        "hrpyc-agent connect --lisen",
        "--advertize",
        "--volumes",
    ] {
        assert!(check_mention("README.md", wrong).is_err(), "{wrong}");
    }
}
