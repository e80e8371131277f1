use proptest::prelude::*;

use super::super::{Int, Limits, Plain, Value};
use super::*;

/// Reads one value that comes in pieces. Gives its bytes, put together again.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Vec<u8>>, Refused> {
    let (mut arriving, mut bytes, mut left) = (Arriving::default(), Vec::new(), 1usize);
    for mut piece in pieces {
        while let Some(item) = arriving.next(&mut piece)? {
            match item {
                Item::Begun(begun, head) => {
                    bytes.extend_from_slice(head);
                    left += match begun {
                        Begun::Tuple(count) | Begun::Frozenset(count) => count,
                        Begun::Slice => 3,
                        Begun::Str(_) | Begun::Bytes(_) => 1,
                        Begun::Whole(_) => 0,
                    };
                    left -= 1;
                }
                Item::Part { bytes: part, last } => {
                    bytes.extend_from_slice(part);
                    left -= usize::from(last);
                }
            }
            if left == 0 {
                return Ok(Some(bytes));
            }
        }
        assert!(piece.is_empty() && arriving.begun.len() < 5000);
    }
    Ok(None)
}

fn in_pieces(bytes: &[u8], size: usize) -> Result<Option<Vec<u8>>, Refused> {
    read(bytes.chunks(size))
}

#[test]
fn values_of_all_kinds_arrive_however_they_are_cut() {
    let long = "é\u{1f600}x".repeat(200);
    let many = Value::Tuple(vec![Value::Float(0.5); 300]);
    let digits = "7".repeat(4300);
    let slice = [Value::None, Value::Ellipsis, Value::NotImplemented];
    let value = Value::Tuple(vec![
        Value::Str(&long),
        Value::Str(""),
        Value::Bytes(&[7; 300]),
        Value::Bytes(b""),
        Value::Int(Int::Big(&digits)),
        Value::Frozenset(vec![Value::Bool(true), Value::Complex(1.0, 2.0)]),
        Value::Slice(Box::new(slice)),
        Value::Tuple(vec![]),
        many,
    ]);
    let bytes = value.to_bytes();
    for size in [1, 2, 3, 7, 64, bytes.len()] {
        assert_eq!(in_pieces(&bytes, size), Ok(Some(bytes.clone())), "{size}");
    }
}

#[test]
fn what_is_wrong_is_seen_before_much_of_it_is_held() {
    for (bytes, refused) in [
        (&b"\x17\xff\xff\xff\xff"[..], Refused::HugeInt),
        (b"\x09", Refused::Tag(9)),
        (b"\x08\x50", Refused::Inside),
        (b"\x14\x04", Refused::LongForm),
        (b"\x1a\x50", Refused::Inside),
        (b"\x19\x11", Refused::Inside),
        (b"\x16\x0207", Refused::Digits),
        (b"\x08\x0b\xc3\x28", Refused::NotUtf8),
        (b"\x08\x0a\xc3", Refused::NotUtf8),
        (b"\x08\x0d\xf0\x9f\x98\xc3", Refused::NotUtf8),
    ] {
        for size in [1, bytes.len()] {
            assert_eq!(in_pieces(bytes, size), Err(refused), "{bytes:?}");
        }
    }
}

proptest! {
    #[test]
    fn it_agrees_with_a_reader_that_has_all(
        bytes in proptest::collection::vec(prop_oneof![
            3 => prop::sample::select(b"\x02\x08\x0a\x0b\x0d\x0e\x10\x11\x14\x16\x1a\x19\x18".to_vec()),
            2 => 0u8..8,
            2 => any::<u8>(),
        ], 1..60),
        size in 1usize..20,
    ) {
        let arrived = in_pieces(&bytes, size);
        prop_assert_eq!(&arrived, &in_pieces(&bytes, bytes.len()));
        match (Plain::read(&bytes, Limits::WIDE), arrived) {
            (Ok(_), arrived) => prop_assert_eq!(arrived, Ok(Some(bytes))),
            (Err(Refused::Trailing), Ok(Some(value))) => prop_assert!(bytes.starts_with(&value)),
            (Err(Refused::Trailing), other) => panic!("{other:?}"),
            (Err(Refused::Truncated), Ok(None) | Err(_)) => {}
            // Nothing is looked for twice here, and what is wrong may come later.
            (Err(Refused::NotASet), _) => {}
            (Err(_), arrived) => prop_assert!(arrived.is_err()),
        }
    }
}
