//! From one family of rpyc versions to the other.
//!
//! rpyc 4.1 to 5.x and 6.x say the same things and begin them differently: `(kind, seq, args)`
//! is `12 5k ...` in brine, and `0k` with the brine of `(seq, args)` is `0k 11 ...`
//! (`core/protocol.py::_send`, 5.3.1 and 6.0.2). Two bytes for two bytes, so that lengths and
//! whether a frame is compressed stay as they are. A peer without the bridge meets
//! `invalid message type: 18` or `not enough values to unpack`.

use crate::NotRpyc;
use crate::brine;
use crate::family::Family;
use crate::frame::{self, Frame, FrameError};
use crate::head::Head;
use crate::inflate::Inflater;

/// In brine the kind of a message is written as an immediate integer.
const IMMEDIATE_ZERO: u8 = 0x50;

/// The two ids in front when threads are bound.
const THREADS_LEN: usize = 16;

/// Makes the payload of one message what a peer of the family `to` would have sent.
///
/// # Errors
///
/// The payload does not begin as a message does; nothing was changed.
pub fn rewrite(payload: &mut [u8], to: Family) -> Result<(), NotRpyc> {
    let head = Head::read(payload).map_err(|_| NotRpyc)?;
    let at = if head.threads.is_some() {
        THREADS_LEN
    } else {
        0
    };
    let first = payload.get_mut(at..).and_then(<[u8]>::first_chunk_mut);
    let Some([first, second]) = first else {
        return Err(NotRpyc);
    };
    match (head.family, to) {
        (Family::Classic, Family::Six) => {
            *first = *second - IMMEDIATE_ZERO;
            *second = brine::TUPLE_2;
        }
        (Family::Six, Family::Classic) => {
            *second = *first + IMMEDIATE_ZERO;
            *first = brine::TUPLE_3;
        }
        _ => {}
    }
    Ok(())
}

/// Why a frame could not be translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untranslated {
    /// It cannot be inflated.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It holds no message.
    #[error(transparent)]
    NotRpyc(#[from] NotRpyc),
}

/// Writes the frame that a peer of the family `to` would have sent, compressed where rpyc
/// would compress it.
///
/// # Errors
///
/// The frame holds no message, or cannot be inflated within the inflater's cap.
pub fn translate(
    frame: &Frame<'_>,
    to: Family,
    inflater: &mut Inflater,
) -> Result<Vec<u8>, Untranslated> {
    let mut payload = inflater.payload(frame)?.to_vec();
    rewrite(&mut payload, to)?;
    Ok(frame::encode(&payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captures;

    #[test]
    fn real_frames_go_there_and_back() {
        for capture in &captures::ALL {
            let to = match capture.family {
                Family::Classic => Family::Six,
                Family::Six => Family::Classic,
            };
            for stream in [capture.client, capture.server] {
                let mut inflater = Inflater::new(1 << 20);
                for whole in captures::frames(stream) {
                    let frame = whole.frame();
                    let there = translate(&frame, to, &mut inflater).unwrap();
                    let [translated] = &captures::frames(&there)[..] else {
                        panic!()
                    };
                    let translated = translated.frame();
                    let (before, after) = (frame.head().unwrap(), translated.head().unwrap());
                    assert_eq!(
                        after,
                        Head {
                            family: to,
                            ..before
                        }
                    );
                    assert_eq!(frame.compressed, translated.compressed);
                    let payload = inflater.payload(&frame).unwrap().to_vec();
                    let mut back = inflater.payload(&translated).unwrap().to_vec();
                    assert_eq!(back.len(), payload.len());
                    assert_ne!(back, payload);
                    rewrite(&mut back, capture.family).unwrap();
                    assert_eq!(back, payload);
                }
            }
        }
    }

    #[test]
    fn a_message_of_the_wanted_family_stays_as_it_is() {
        let mut payload = *b"\x12\x52\x50\x11\x51\x00";
        rewrite(&mut payload, Family::Classic).unwrap();
        assert_eq!(&payload, b"\x12\x52\x50\x11\x51\x00");
        rewrite(&mut payload, Family::Six).unwrap();
        assert_eq!(&payload, b"\x02\x11\x50\x11\x51\x00");
        rewrite(&mut payload, Family::Six).unwrap();
        assert_eq!(&payload, b"\x02\x11\x50\x11\x51\x00");
    }

    #[test]
    fn what_is_no_message_is_left_alone() {
        for bytes in [
            &b""[..],
            b"\x12",
            b"\x12\x54\x50",
            b"\x04\x11\x50",
            b"GET / HTTP",
        ] {
            let mut payload = bytes.to_vec();
            assert_eq!(rewrite(&mut payload, Family::Six), Err(NotRpyc));
            assert_eq!(payload, bytes);
        }
    }
}
