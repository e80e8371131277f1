//! The checks of the fuzz targets of the programs' own parsers, over inputs worth keeping, and
//! over changes of those: what a fuzzer does for hours, for a second.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(unreachable_pub, reason = "they are public to the fuzz targets")]
#[path = "../fuzz/src/outside/mod.rs"]
mod outside;

use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::Index;

/// A check, which gives whether the input was accepted.
type Check = fn(&[u8]) -> bool;

const CHECKS: [(&str, Check); 11] = [
    ("hello", outside::hello),
    ("enrolment", outside::enrolment),
    ("invite", outside::invite),
    ("certificate", outside::certificate),
    ("request", outside::request),
    ("request_made", outside::request_made),
    ("token", outside::token),
    ("token_made", outside::token_made),
    ("configuration", outside::configuration),
    ("policy", outside::policy),
    ("audit", outside::audit),
];

/// The inputs that are kept for a target.
fn kept(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/kept")
        .join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

#[test]
fn inputs_worth_keeping_pass_their_check() {
    for (name, check) in CHECKS {
        let inputs = kept(name);
        let accepted = inputs.iter().filter(|input| check(input)).count();
        // Nobody has the key that would be needed.
        let is_possible = name != "token";
        assert_eq!(accepted > 0, is_possible, "{name}");
        assert!(
            accepted < inputs.len(),
            "{name} has nothing that is refused"
        );
    }
}

/// An input is cut, a byte is changed, a part comes twice.
fn changed(mut input: Vec<u8>, how: u8, byte: u8, places: [Index; 2]) -> Vec<u8> {
    if input.is_empty() {
        return vec![byte];
    }
    let [one, other] = places.map(|place| place.index(input.len()));
    let (from, to) = (one.min(other), one.max(other));
    match how % 4 {
        0 => input[from] = byte,
        1 => input.truncate(from),
        2 => drop(input.drain(from..to)),
        _ => {
            let part = input[from..to].to_vec();
            input.splice(to..to, part);
        }
    }
    input
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn changes_of_inputs_worth_keeping_pass_every_check(
        which: Index,
        how: u8,
        byte: u8,
        places: [Index; 2],
    ) {
        for (name, check) in CHECKS {
            let mut inputs = kept(name);
            let input = inputs.swap_remove(which.index(inputs.len()));
            check(&changed(input, how, byte, places));
        }
    }
}
