//! Says what this crate makes of brine, for a comparison with rpyc's own reader.
//!
//! Reads lines of hexadecimal digits. For each it writes a line: `!` and why it is refused,
//! or a description in which no two different values look the same.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufWriter, Write as _};

use hrpyc_rpyc::brine::{Int, Limits, Value};

fn main() -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let bytes = from_hex(line?.trim()).ok_or(io::ErrorKind::InvalidData)?;
        let mut text = String::new();
        match Value::read(&bytes, Limits::WIDE) {
            Ok(value) => describe(&value, &mut text),
            Err(refused) => text = format!("!{refused}"),
        }
        writeln!(out, "{text}")?;
    }
    out.flush()
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn describe(value: &Value<'_>, text: &mut String) {
    let all = |items: &[Value<'_>]| -> Vec<String> {
        let shown = |item| {
            let mut text = String::new();
            describe(item, &mut text);
            text
        };
        items.iter().map(shown).collect()
    };
    let _ = match value {
        Value::None => write!(text, "N"),
        Value::NotImplemented => write!(text, "I"),
        Value::Ellipsis => write!(text, "E"),
        Value::Bool(true) => write!(text, "T"),
        Value::Bool(false) => write!(text, "F"),
        Value::Int(Int::Small(value)) => write!(text, "i{value}"),
        Value::Int(Int::Big(digits)) => write!(text, "i{digits}"),
        Value::Float(value) => write!(text, "f{:016x}", value.to_bits()),
        Value::Complex(real, imaginary) => {
            write!(text, "c{:016x}{:016x}", real.to_bits(), imaginary.to_bits())
        }
        Value::Bytes(bytes) => write!(text, "b{}", to_hex(bytes)),
        Value::Str(value) => write!(text, "s{}", to_hex(value.as_bytes())),
        Value::Tuple(items) => write!(text, "({})", all(items).join(",")),
        Value::Slice(parts) => write!(text, "[{}]", all(&parts[..]).join(",")),
        Value::Frozenset(items) => {
            let mut items = all(items);
            items.sort_unstable();
            write!(text, "{{{}}}", items.join(","))
        }
    };
}
