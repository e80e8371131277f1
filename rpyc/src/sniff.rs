//! Tells by the first bytes what somebody speaks who connected to a port.

use crate::brine::Unread;
use crate::frame::{self, HEADER_LEN};
use crate::head::{Head, Kind};

/// With this many bytes the answer is never [`Sniff::NeedMore`].
pub const SNIFF_LEN: usize = 8;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniff {
    /// Plain rpyc.
    Rpyc,
    /// TLS: a client hello.
    Tls,
    /// HTTP, with or without the `/2`.
    Http,
    /// All bytes so far could begin one of these; more are needed.
    NeedMore,
    /// None of these.
    Unknown,
}

/// Methods of RFC 9110 and 5789, and the connection preface of RFC 9113.
const HTTP_STARTS: [&[u8]; 10] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
    b"PRI * ",
];

/// Shorter payloads hold no request.
const PAYLOAD_MIN: u32 = 8;

/// What `first`, the first bytes of a connection, begins. Look at [`SNIFF_LEN`] bytes or
/// more to be told for certain.
pub fn sniff(first: &[u8]) -> Sniff {
    match first.first() {
        None => Sniff::NeedMore,
        Some(0) => rpyc(first),
        Some(0x16) => tls(first),
        Some(_) => http(first),
    }
}

/// A client's first frame is a small request, so the length begins with a zero byte.
fn rpyc(first: &[u8]) -> Sniff {
    let Some((header, payload)) = first.split_first_chunk::<HEADER_LEN>() else {
        return Sniff::NeedMore;
    };
    let (length, flag) = frame::decode_header(*header);
    if length < PAYLOAD_MIN {
        return Sniff::Unknown;
    }
    let agrees = match flag {
        0 => match Head::read(payload) {
            Ok(head) => matches!(head.kind, Kind::Request { .. }),
            Err(Unread::Short) => true,
            Err(Unread::NotRpyc) => false,
        },
        1 => match *payload {
            [] => true,
            [method] => is_zlib_method(method),
            [method, check, ..] => {
                is_zlib_method(method) && u16::from_be_bytes([method, check]) % 31 == 0
            }
        },
        _ => false,
    };
    match agrees {
        false => Sniff::Unknown,
        true if payload.len() < 2 => Sniff::NeedMore,
        true => Sniff::Rpyc,
    }
}

/// Deflate with a window of 32 KiB, as Python's zlib writes it.
fn is_zlib_method(byte: u8) -> bool {
    byte == 0x78
}

/// A TLS record of type handshake and version 3.x.
fn tls(first: &[u8]) -> Sniff {
    match first {
        [_] | [_, 0x03] => Sniff::NeedMore,
        [_, 0x03, 0..=4, ..] => Sniff::Tls,
        _ => Sniff::Unknown,
    }
}

fn http(first: &[u8]) -> Sniff {
    if HTTP_STARTS.iter().any(|start| first.starts_with(start)) {
        Sniff::Http
    } else if HTTP_STARTS.iter().any(|start| start.starts_with(first)) {
        Sniff::NeedMore
    } else {
        Sniff::Unknown
    }
}

#[cfg(test)]
mod tests;
