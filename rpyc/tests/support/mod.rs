//! Reads the captures of real sessions; see `tests/captures/record.py`.

use std::fs;
use std::io::Read;
use std::path::Path;

/// Who sent a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
}

/// One recorded session.
pub(crate) struct Capture {
    /// Such as `5.3.1-bound`.
    pub(crate) name: String,
    /// Every frame in the order in which it passed.
    pub(crate) frames: Vec<(Sender, Vec<u8>)>,
}

/// All recorded sessions.
pub(crate) fn captures() -> Vec<Capture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "gz"))
        .map(|path| read(&path))
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn read(path: &Path) -> Capture {
    let name = path.file_name().unwrap().to_str().unwrap();
    let name = name.strip_suffix(".capture.gz").unwrap().to_owned();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(path).unwrap())
        .read_to_end(&mut bytes)
        .unwrap();
    let title = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    let mut rest = &bytes[title + 1..];
    let mut frames = Vec::new();
    while let Some((mark, after)) = rest.split_first() {
        let (length, after) = after.split_first_chunk().unwrap();
        let (frame, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        let sender = match mark {
            b'>' => Sender::Client,
            b'<' => Sender::Server,
            other => panic!("{other}"),
        };
        frames.push((sender, frame.to_vec()));
        rest = after;
    }
    Capture { name, frames }
}
