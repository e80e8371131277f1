//! Answers that the caller's Python raises as an ordinary exception.

use crate::brine::{self, put_str};
use crate::frame;
use crate::head::Head;

/// Messages are cut here.
pub const MESSAGE_MAX: usize = 16 * 1024;

/// `str()` of a raised exception is the message, a line
/// `========= Remote Traceback (1) =========`, and this text. The line cannot be left out
/// (`core/vinegar.py::_get_exception_class`, 4.1.0 to 6.0.2), so the text says why nothing of
/// Python follows.
const TRACEBACK_TEXT: &str = "(hrpyc-guard sent this message; it comes from no Python code)";

/// The builtin exception that the caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExceptionClass {
    /// Not allowed to.
    PermissionError,
    /// There is no such attribute: what Python passes over where it looks for one by itself.
    AttributeError,
    /// Something else; unlike the others here it keeps its text when Python hands it on.
    RuntimeError,
    /// No connection, or not any more.
    ConnectionError,
    /// The connection ended.
    EofError,
    /// No answer in time.
    TimeoutError,
}

impl ExceptionClass {
    /// Its name in Python.
    pub fn name(self) -> &'static str {
        match self {
            Self::PermissionError => "PermissionError",
            Self::AttributeError => "AttributeError",
            Self::RuntimeError => "RuntimeError",
            Self::ConnectionError => "ConnectionError",
            Self::EofError => "EOFError",
            Self::TimeoutError => "TimeoutError",
        }
    }
}

/// The frame that answers `request` with an exception.
///
/// The exception is `((module, class), args, attributes, traceback text)`
/// (`core/vinegar.py::load`, the same in 4.1.0, 5.3.1 and 6.0.2). A message longer than
/// [`MESSAGE_MAX`] is cut.
pub fn exception_frame(request: Head, class: ExceptionClass, message: &str) -> Vec<u8> {
    let message = &message[..message.floor_char_boundary(MESSAGE_MAX)];
    let mut payload = Vec::with_capacity(message.len() + 256);
    request.exception().write(&mut payload);
    payload.extend_from_slice(&[brine::TUPLE_4, brine::TUPLE_2]);
    put_str(&mut payload, "builtins");
    put_str(&mut payload, class.name());
    payload.push(brine::TUPLE_1);
    put_str(&mut payload, message);
    payload.push(brine::EMPTY_TUPLE);
    put_str(&mut payload, TRACEBACK_TEXT);
    frame::encode(&payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{GETROOT, Kind, Threads};
    use crate::{Family, Observer};

    const TEXT: &[u8] =
        b"\x08\x0e\x3d(hrpyc-guard sent this message; it comes from no Python code)";

    #[test]
    fn golden_bytes_of_both_families() {
        let class = b"\x13\x11\x08\x0e\x08builtins\x08\x0e\x0fPermissionError";
        for (family, head) in [
            (Family::Classic, &b"\x12\x53\x50"[..]),
            (Family::Six, b"\x03\x11\x50"),
        ] {
            let request = Head::request(family, 0, GETROOT);
            let frame = exception_frame(request, ExceptionClass::PermissionError, "a\né");
            let message = b"\x10\x08\x0da\n\xc3\xa9\x02";
            let payload = [head, class, message, TEXT].concat();
            assert_eq!(frame, crate::frame::encode(&payload));
        }
    }

    #[test]
    fn the_answer_names_the_thread_that_asked() {
        for (receiver, ours) in [(0, 1), (9, 9)] {
            let request = Head {
                threads: Some(Threads {
                    sender: 0x7f,
                    receiver,
                }),
                ..Head::request(Family::Six, 300, GETROOT)
            };
            let frame = exception_frame(request, ExceptionClass::EofError, "gone");
            let mut heads = Vec::new();
            Observer::new().observe(&frame, |head| heads.push(head));
            let [head] = heads[..] else {
                panic!("{heads:?}")
            };
            assert_eq!((head.kind, head.seq), (Kind::Exception, 300));
            let threads = Threads {
                sender: ours,
                receiver: 0x7f,
            };
            assert_eq!(head.threads, Some(threads));
        }
    }

    #[test]
    fn a_long_message_is_compressed_and_a_longer_one_cut() {
        let request = Head::request(Family::Classic, 0, GETROOT);
        for message in ["é".repeat(2000), "é".repeat(20_000)] {
            let frame = exception_frame(request, ExceptionClass::ConnectionError, &message);
            assert_eq!(frame[4], 1);
            let mut heads = 0;
            Observer::new().observe(&frame, |head| {
                assert_eq!(head.kind, Kind::Exception);
                heads += 1;
            });
            assert_eq!(heads, 1);
        }
        let cut = exception_frame(request, ExceptionClass::EofError, &"é".repeat(8192));
        let longer = exception_frame(request, ExceptionClass::EofError, &"é".repeat(8193));
        assert_eq!(cut, longer);
    }
}
