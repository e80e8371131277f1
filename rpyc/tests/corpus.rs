//! The checks of the fuzz targets, over recorded sessions, inputs worth keeping, and some
//! noise: what a fuzzer does for hours, for a second.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[expect(unreachable_pub, reason = "they are public to the fuzz targets")]
#[path = "../../tests/fuzz/src/checks.rs"]
mod checks;
mod support;

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use support::Sender;

type Check = fn(&[u8]);

const CHECKS: [(&str, Check); 8] = [
    ("frame", checks::frame),
    ("brine", checks::brine),
    ("brine_made", checks::brine_made),
    ("message", checks::message),
    ("conversation", checks::conversation),
    ("conversation_made", checks::conversation_made),
    ("abridged", checks::abridged),
    ("abridged_made", checks::abridged_made),
];

#[test]
fn recorded_sessions_pass_every_check() {
    for capture in support::captures(env!("CARGO_MANIFEST_DIR")) {
        let mut streams = [Vec::new(), Vec::new()];
        let mut conversation = Vec::new();
        for (sender, bytes) in &capture.frames {
            streams[usize::from(*sender == Sender::Server)].extend_from_slice(bytes);
            let payload = support::payload(bytes);
            checks::message(&payload);
            checks::abridged(&payload);
            checks::brine(&payload);
            checks::brine(&payload[1..]);
            if let Ok(length) = u16::try_from(payload.len()) {
                conversation.push(u8::from(*sender == Sender::Server));
                conversation.extend(length.to_be_bytes());
                conversation.extend_from_slice(&payload);
            }
        }
        streams.iter().for_each(|stream| checks::frame(stream));
        checks::conversation(&conversation);
    }
}

#[test]
fn inputs_worth_keeping_pass_their_check() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/kept");
    for (name, check) in CHECKS {
        let entries = fs::read_dir(all.join(name)).unwrap();
        let inputs = entries.map(|entry| fs::read(entry.unwrap().path()).unwrap());
        assert!(inputs.map(|input| check(&input)).count() > 0, "{name}");
    }
}

proptest! {
    #[test]
    fn noise_passes_every_check(input in proptest::collection::vec(any::<u8>(), 0..600)) {
        for (_, check) in CHECKS {
            check(&input);
        }
    }
}
