//! Reads the captures of real sessions; see `tests/captures/record.py`.

use std::fs;
use std::io::Read;
use std::path::Path;

use hrpyc_rpyc::{Inflater, Lane, Next};

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

/// All recorded sessions, of which `rpyc` has the folder `tests/captures`.
pub(crate) fn captures(rpyc: &str) -> Vec<Capture> {
    let folder = Path::new(rpyc).join("tests/captures");
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

/// The payload of a recorded frame.
pub(crate) fn payload(frame: &[u8]) -> Vec<u8> {
    let mut lane = Lane::new(1 << 20);
    lane.input.extend_from_slice(frame);
    let Ok(Next::Whole(whole)) = lane.cut() else {
        panic!("{frame:?}")
    };
    assert!(lane.at_boundary());
    let mut inflater = Inflater::new(1 << 20);
    inflater.payload(&whole.frame()).unwrap().to_vec()
}
