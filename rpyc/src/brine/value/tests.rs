use proptest::prelude::*;

use super::*;

fn read(bytes: &[u8]) -> Result<Value<'_>, Refused> {
    Value::read(bytes, Limits::WIDE)
}

fn int(value: i64) -> Value<'static> {
    Value::Int(Int::Small(value))
}

/// What `brine.dump` of 4.1.0, 5.3.1 and 6.0.2 gives.
#[test]
fn values_have_rpycs_own_bytes() {
    let long = "x".repeat(256);
    for (value, bytes) in [
        (Value::None, &b"\x00"[..]),
        (Value::Bytes(b""), b"\x01"),
        (Value::Tuple(vec![]), b"\x02"),
        (Value::Bool(true), b"\x03"),
        (Value::Bool(false), b"\x04"),
        (Value::NotImplemented, b"\x05"),
        (Value::Ellipsis, b"\x06"),
        (Value::Str(""), b"\x08\x01"),
        (Value::Str("llo"), b"\x08\x0cllo"),
        (Value::Bytes(b"he"), b"\x0bhe"),
        (Value::Bytes(b"hello"), b"\x0e\x05hello"),
        (int(-48), b"\x20"),
        (int(0), b"\x50"),
        (int(159), b"\xef"),
        (int(-49), b"\x16\x03-49"),
        (int(160), b"\x16\x03160"),
        (int(i64::MIN), b"\x16\x14-9223372036854775808"),
        (
            Value::Int(Int::Big("9223372036854775808")),
            b"\x16\x139223372036854775808",
        ),
        (Value::Float(18.2), b"\x18\x40\x32\x33\x33\x33\x33\x33\x33"),
        (
            Value::Complex(13.0, 18.2),
            b"\x1b\x40\x2a\x00\x00\x00\x00\x00\x00\x40\x32\x33\x33\x33\x33\x33\x33",
        ),
        (
            Value::Slice(Box::new([int(1), int(2), int(3)])),
            b"\x19\x12\x51\x52\x53",
        ),
        (
            Value::Frozenset(vec![int(5), int(6), int(7)]),
            b"\x1a\x12\x55\x56\x57",
        ),
        (
            Value::Tuple(vec![Value::None; 5]),
            b"\x14\x05\x00\x00\x00\x00\x00",
        ),
        (
            Value::Tuple(vec![Value::None; 256]),
            &[&b"\x15\x00\x00\x01\x00"[..], &[0; 256]].concat(),
        ),
        (
            Value::Str(&long),
            &[b"\x08\x0f\x00\x00\x01\x00", long.as_bytes()].concat(),
        ),
    ] {
        assert_eq!(value.to_bytes(), bytes, "{value:?}");
        assert_eq!(read(bytes), Ok(value));
    }
}

#[test]
fn a_value_in_another_form_than_rpycs_is_refused() {
    let digits = |count: usize| {
        let mut bytes = b"\x17".to_vec();
        bytes.extend((count as u32).to_be_bytes());
        bytes.resize(5 + count, b'1');
        bytes
    };
    for (bytes, refused) in [
        (&b""[..], Refused::Truncated),
        (b"\x00\x00", Refused::Trailing),
        (b"\x07", Refused::Tag(0x07)),
        (b"\x09\x51", Refused::Tag(0x09)),
        (b"\x1c", Refused::Tag(0x1c)),
        (b"\xf0", Refused::Tag(0xf0)),
        (b"\xff", Refused::Tag(0xff)),
        (b"\x0e\x04abcd", Refused::LongForm),
        (b"\x0e\x00", Refused::LongForm),
        (b"\x0f\x00\x00\x00\x05abcde", Refused::LongForm),
        (b"\x14\x01\x00", Refused::LongForm),
        (b"\x15\x00\x00\x00\x00", Refused::LongForm),
        (b"\x16\x00", Refused::LongForm),
        (b"\x16\x015", Refused::LongForm),
        (b"\x16\x03-48", Refused::LongForm),
        (b"\x16\x03159", Refused::LongForm),
        (b"\x17\x00\x00\x00\x03160", Refused::LongForm),
        (b"\x16\x010", Refused::Digits),
        (b"\x16\x02-0", Refused::Digits),
        (b"\x16\x01-", Refused::Digits),
        (b"\x16\x04+160", Refused::Digits),
        (b"\x16\x040160", Refused::Digits),
        (b"\x16\x04 160", Refused::Digits),
        (b"\x16\x04160 ", Refused::Digits),
        (b"\x16\x041_60", Refused::Digits),
        (b"\x16\x16111111111111111111_111", Refused::Digits),
        (b"\x16\x06\xd9\xa1\xd9\xa1\xd9\xa1", Refused::Digits),
        (&digits(4301), Refused::HugeInt),
        (b"\x08\x0a\xff", Refused::NotUtf8),
        (b"\x08\x0c\xed\xa0\x80", Refused::NotUtf8),
        (b"\x08\x00", Refused::Inside),
        (b"\x08\x08\x0aa", Refused::Inside),
        (b"\x19\x11\x51\x52", Refused::Inside),
        (b"\x19\x14\x03\x51\x52\x53", Refused::Inside),
        (b"\x1a\x51", Refused::Inside),
        (b"\x12\x00\x00", Refused::Truncated),
        (b"\x15\xff\xff\xff\xff\x00", Refused::Truncated),
        (b"\x0f\xff\xff\xff\xff\x00", Refused::Truncated),
        (b"\x18\x00\x00\x00", Refused::Truncated),
    ] {
        assert_eq!(read(bytes), Err(refused), "{bytes:?}");
    }
    assert!(read(&digits(4300)).is_ok());
}

#[test]
fn a_set_has_no_element_twice_as_python_counts() {
    for twice in [
        &b"\x1a\x11\x51\x51"[..],
        b"\x1a\x11\x51\x03",
        b"\x1a\x11\x50\x04",
        b"\x1a\x11\x51\x18\x3f\xf0\x00\x00\x00\x00\x00\x00",
        b"\x1a\x11\x18\x80\x00\x00\x00\x00\x00\x00\x00\x50",
        b"\x1a\x11\x51\x1b\x3f\xf0\x00\x00\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00",
        // 2**53 as int and as float.
        b"\x1a\x11\x16\x109007199254740992\x18\x43\x40\x00\x00\x00\x00\x00\x00",
        b"\x1a\x11\x11\x51\x08\x0aa\x11\x03\x08\x0aa",
        b"\x1a\x11\x1a\x11\x51\x52\x1a\x11\x52\x51",
        b"\x1a\x10\x10\x1a\x11\x51\x51",
        // A slice has no hash.
        b"\x1a\x10\x19\x12\x00\x00\x00",
        b"\x1a\x10\x10\x19\x12\x00\x00\x00",
    ] {
        assert_eq!(read(twice), Err(Refused::NotASet), "{twice:?}");
    }
    for fine in [
        &b"\x1a\x11\x51\x52"[..],
        b"\x1a\x11\x0aa\x08\x0aa",
        b"\x1a\x11\x16\x109007199254740993\x18\x43\x40\x00\x00\x00\x00\x00\x00",
        // Two NaNs are two elements.
        b"\x1a\x11\x18\x7f\xf8\x00\x00\x00\x00\x00\x00\x18\x7f\xf8\x00\x00\x00\x00\x00\x00",
        b"\x1a\x11\x10\x51\x51",
    ] {
        assert!(read(fine).is_ok(), "{fine:?}");
    }
}

#[test]
fn depth_and_number_of_items_are_bounded() {
    let limits = Limits { depth: 3, items: 5 };
    let nested = |depth: usize| [&vec![0x10; depth][..], &[0x00]].concat();
    assert!(Value::read(&nested(3), limits).is_ok());
    assert_eq!(Value::read(&nested(4), limits), Err(Refused::TooDeep));
    let wide = |count: u8| [&[0x14, count][..], &vec![0; count.into()]].concat();
    assert_eq!(Value::read(&wide(5), limits), Err(Refused::TooMany));
    assert!(Value::read(b"\x13\x00\x00\x00\x00", limits).is_ok());
    assert_eq!(read(&nested(1_000_000)), Err(Refused::TooDeep));
    let set = |count: i64| Value::Frozenset((0..count).map(int).collect()).to_bytes();
    assert!(read(&set(1 << 16)).is_ok());
    assert_eq!(read(&set((1 << 16) + 1)), Err(Refused::TooMany));
    // Nor does a tuple in a set hide any: each of these numbers has 309 digits.
    let huge = vec![Value::Float(1e308); 1 << 16];
    let tuple = Value::Tuple(huge);
    assert!(read(&tuple.to_bytes()).is_ok());
    let hidden = Value::Frozenset(vec![tuple]).to_bytes();
    assert_eq!(read(&hidden), Err(Refused::TooMany));
}

/// Any value that rpyc can write, as the bytes that it writes.
fn any_brine() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(Value::None.to_bytes()),
        Just(Value::Ellipsis.to_bytes()),
        Just(Value::NotImplemented.to_bytes()),
        any::<bool>().prop_map(|value| Value::Bool(value).to_bytes()),
        any::<i64>().prop_map(|value| int(value).to_bytes()),
        (-300i64..300).prop_map(|value| int(value).to_bytes()),
        "-?[1-9][0-9]{19,300}".prop_map(|digits| Value::Int(Int::Big(&digits)).to_bytes()),
        any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits)).to_bytes()),
        any::<(f64, f64)>().prop_map(|(r, i)| Value::Complex(r, i).to_bytes()),
        any::<String>().prop_map(|text| Value::Str(&text).to_bytes()),
        proptest::collection::vec(any::<u8>(), 0..300)
            .prop_map(|bytes| Value::Bytes(&bytes).to_bytes()),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(|items| {
                let mut out = Vec::new();
                put_tuple(&mut out, items.len());
                items.iter().for_each(|item| out.extend(item));
                out
            }),
            [inner.clone(), inner.clone(), inner].prop_map(|parts| [
                &b"\x19\x12"[..],
                &parts.concat()
            ]
            .concat()),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_read_is_written_as_it_was(bytes in any_brine()) {
        let value = read(&bytes).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(value.to_bytes(), &bytes[..]);
        for cut in 0..bytes.len() {
            prop_assert_eq!(read(&bytes[..cut]).err(), Some(Refused::Truncated));
        }
    }

    #[test]
    fn whatever_is_accepted_is_written_as_it_was(
        bytes in any_brine(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = bytes;
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(value) = read(&bytes) {
            prop_assert_eq!(value.to_bytes(), bytes);
        }
    }
}
