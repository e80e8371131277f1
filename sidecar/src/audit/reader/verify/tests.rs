mod changes;
mod interruptions;
mod signatures;

use std::fs;
use std::sync::Arc;

use certs::AuditKey;
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::super::record::{Event, Record};
use super::super::super::writer::Writer;
use super::*;
use crate::config::{AuditConfig, HeadsTo};

const LOG: &str = "connections";

/// A log of some files, and the key that signed it.
struct Written {
    folder: TempDir,
    key: AuditKey,
    pem: TempDir,
}

fn config() -> AuditConfig {
    AuditConfig {
        heads: HeadsTo::Nowhere,
        max_bytes: 6000,
        checkpoint_records: 10,
        ..AuditConfig::default()
    }
}

impl Written {
    /// Nothing yet.
    fn new() -> Self {
        let pem = tempfile::tempdir().unwrap();
        let state = pem.path().join("state");
        certs::Authority::init(&state, None, &"ws12".parse().unwrap()).unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            key: AuditKey::load(&state).unwrap(),
            pem,
        }
    }

    /// Three files or more, of two runs.
    fn long() -> Self {
        let written = Self::new();
        written.run(60, config());
        written.run(60, config());
        assert!(written.files().len() > 3);
        written
    }

    /// One file.
    fn short() -> Self {
        let written = Self::new();
        written.run(30, roomy());
        written
    }

    fn run(&self, records: usize, config: AuditConfig) {
        let key = AuditKey::load(&self.pem.path().join("state")).unwrap();
        let writer = Writer::connections(self.folder.path(), config, Arc::new(key)).unwrap();
        writer.write(&Record::new(Event::Started));
        for n in 0..records {
            let mut record = Record::new(Event::Refused);
            record.session = Some(n.to_string());
            writer.write(&record);
        }
        assert_eq!(writer.finish(), 0);
    }

    /// The files, the oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let files = all_files(self.folder.path(), LOG).unwrap();
        files.into_iter().map(|file| file.path).collect()
    }

    fn verify_with(
        &self,
        keys: &[AuditPublicKey],
        expected: &[Expected],
    ) -> Result<Verified, Broken> {
        verify(self.folder.path(), LOG, keys, expected).unwrap()
    }

    fn verify(&self) -> Result<Verified, Broken> {
        self.verify_with(&[self.key.public().clone()], &[])
    }

    #[track_caller]
    fn assert_broken(&self, reason: &str) -> Broken {
        let broken = self.verify().unwrap_err();
        assert_eq!(broken.reason, reason, "{broken:?}");
        assert!(!broken.hint().is_empty());
        broken
    }

    fn change(&self, path: &Path, change: impl FnOnce(&mut Vec<String>)) {
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text.lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(path, lines.join("\n") + "\n").unwrap();
    }

    fn head(&self) -> Expected {
        let verified = self.verify().unwrap();
        let text = format!("{LOG}:{}:{}", verified.last, verified.head);
        text.parse().unwrap()
    }
}

fn roomy() -> AuditConfig {
    AuditConfig {
        max_bytes: 1 << 20,
        ..config()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However often a guard is killed, and whatever it leaves: the log verifies.
    #[test]
    fn any_kills_and_starts_verify(
        runs in prop::collection::vec((0..25_usize, prop::collection::vec(any::<u8>(), 0..40)), 1..5),
        bytes in 5000..12_000_u64,
    ) {
        let written = Written::new();
        for (records, torn) in &runs {
            written.run(*records, AuditConfig { max_bytes: bytes, ..config() });
            let path = written.folder.path().join("connections.jsonl");
            let mut whole = fs::read(&path).unwrap();
            whole.extend_from_slice(torn);
            fs::write(&path, whole).unwrap();
        }
        written.run(1, config());
        let verified = written.verify().unwrap();
        prop_assert_eq!(verified.lines, verified.last);
    }

    /// No bytes make it panic or find whole what is not.
    #[test]
    fn no_bytes_are_taken_for_a_log(bytes in prop::collection::vec(any::<u8>(), 1..400)) {
        let written = Written::new();
        let path = written.folder.path().join("connections.jsonl");
        fs::write(path, &bytes).unwrap();
        let found = written.verify();
        prop_assert!(found.is_err() || found.unwrap().torn_bytes > 0);
    }
}
