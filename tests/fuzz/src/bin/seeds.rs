//! Fills `corpus/` with what the recorded sessions hold, for the fuzzer to start from.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

#[path = "../../../../rpyc/tests/support/mod.rs"]
mod support;

use support::{Sender, captures};

/// A fuzzer is slow with long inputs.
const LONGEST: usize = 4096;

/// Messages that make one conversation.
const SPAN: usize = 40;

fn main() {
    let mut inputs: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    let rpyc = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rpyc");
    for capture in captures(rpyc) {
        let mut conversation = Vec::new();
        for (index, (sender, bytes)) in capture.frames.iter().enumerate() {
            let payload = support::payload(bytes);
            if payload.len() > LONGEST {
                continue;
            }
            let brine_at = match payload[0] {
                0 => continue,
                1..=3 => 1,
                _ => 0,
            };
            inputs
                .entry("brine")
                .or_default()
                .push(payload[brine_at..].to_vec());
            inputs.entry("frame").or_default().push(bytes.clone());
            if index < SPAN * 3 {
                conversation.push(u8::from(*sender == Sender::Server));
                conversation.extend((payload.len() as u16).to_be_bytes());
                conversation.extend(&payload);
            }
            if index % SPAN == SPAN - 1 {
                inputs
                    .entry("conversation")
                    .or_default()
                    .push(conversation.clone());
            }
            inputs.entry("abridged").or_default().push(payload.clone());
            inputs.entry("message").or_default().push(payload);
        }
    }
    for (target, inputs) in inputs {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(target);
        fs::create_dir_all(&folder).expect("the corpus can be written");
        for input in inputs {
            let mut hasher = DefaultHasher::new();
            input.hash(&mut hasher);
            let path = folder.join(format!("{:016x}", hasher.finish()));
            fs::write(path, input).expect("the corpus can be written");
        }
        println!("{}", folder.display());
    }
}
