//! Text for people, of bounded length.

use std::fmt::{self, Write};
use std::sync::Arc;

use crate::brine::{Int, Items, Plain, Token, Tokens};

/// The longest name of an object, in bytes. A longer one loses its beginning.
pub(crate) const SHOWN_MAX: usize = 384;

/// The longest that one argument gets, in bytes.
const ARGUMENT_MAX: usize = 96;

/// Of a text or of bytes so many characters are shown.
const QUOTED_MAX: usize = 64;

/// Stands where something was left out.
const CUT: char = '…';

/// Text that takes no more than it has room for, and says when there was more.
#[derive(Debug)]
pub(crate) struct Text {
    text: String,
    end: usize,
    cut: bool,
}

impl Text {
    pub(crate) fn new() -> Self {
        Self {
            text: String::with_capacity(96),
            end: usize::MAX,
            cut: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn into_string(self) -> String {
        self.text
    }

    pub(crate) fn push(&mut self, text: &str) {
        if self.cut {
            return;
        }
        let room = self.end.saturating_sub(self.text.len());
        if text.len() <= room {
            self.text.push_str(text);
        } else {
            self.text.push_str(&text[..text.floor_char_boundary(room)]);
            self.text.push(CUT);
            self.cut = true;
        }
    }

    /// Lets `write` add `most` bytes and a mark that there was more. Gives whether there was.
    pub(crate) fn within<T>(&mut self, most: usize, write: impl FnOnce(&mut Self) -> T) -> bool {
        let outer = self.end;
        self.end = outer.min(self.text.len() + most);
        write(self);
        self.end = outer;
        let cut = self.cut;
        // Where that was the end of the outer room too, one mark is enough.
        self.cut = cut && self.text.len() >= outer;
        cut
    }

    pub(crate) fn is_full(&self) -> bool {
        self.cut
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

/// The end of a text that is too long for a name.
pub(crate) fn shortened(text: &str) -> Arc<str> {
    if text.len() <= SHOWN_MAX {
        return Arc::from(text);
    }
    let start = text.ceil_char_boundary(text.len() - (SHOWN_MAX - CUT.len_utf8()));
    Arc::from(format!("{CUT}{}", &text[start..]))
}

/// Is it a name that Python would read as one, so that nothing but a name can hide in it?
pub(crate) fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.len() <= QUOTED_MAX
}

/// Identifiers with dots between them.
pub(crate) fn is_dotted(text: &str) -> bool {
    text.split('.').all(is_identifier) && text.len() <= 2 * QUOTED_MAX
}

/// One argument, as Python would show it, or the beginning of that.
pub(crate) fn put_argument(text: &mut Text, value: Plain<'_>) {
    text.within(ARGUMENT_MAX, |text| put_plain(text, value));
}

fn put_plain(text: &mut Text, value: Plain<'_>) {
    put_value(text, &mut Tokens(value.as_bytes()));
}

/// Writes one checked value. What is not shown is not gone through either.
fn put_value(text: &mut Text, tokens: &mut Tokens<'_>) {
    let start = *tokens;
    let written = match tokens.token().expect(crate::brine::CHECKED) {
        Token::None => text.write_str("None"),
        Token::NotImplemented => text.write_str("NotImplemented"),
        Token::Ellipsis => text.write_str("Ellipsis"),
        Token::Bool(true) => text.write_str("True"),
        Token::Bool(false) => text.write_str("False"),
        Token::Int(Int::Small(value)) => write!(text, "{value}"),
        Token::Int(Int::Big(digits)) => text.write_str(digits),
        Token::Float(value) => put_float(text, value),
        Token::Complex(real, imaginary) => write!(text, "complex({real:?}, {imaginary:?})"),
        Token::Bytes(bytes) => put_bytes(text, bytes),
        Token::Str(value) => put_str(text, value),
        Token::Tuple(left) => {
            let items = Items {
                tokens: *tokens,
                left,
            };
            put_items(text, "(", items, if left == 1 { ",)" } else { ")" })
        }
        Token::Frozenset(left) => {
            let items = Items {
                tokens: *tokens,
                left,
            };
            put_items(text, "frozenset({", items, "})")
        }
        Token::Slice => {
            let items = Items {
                tokens: *tokens,
                left: 3,
            };
            put_items(text, "slice(", items, ")")
        }
    };
    debug_assert!(written.is_ok());
    *tokens = start;
}

fn put_items(text: &mut Text, open: &str, items: Items<'_>, close: &str) -> fmt::Result {
    text.push(open);
    for (index, item) in items.enumerate() {
        if text.is_full() {
            return Ok(());
        }
        if index > 0 {
            text.push(", ");
        }
        put_plain(text, item);
    }
    text.push(close);
    Ok(())
}

/// As Python writes it, but for the exponent.
fn put_float(text: &mut Text, value: f64) -> fmt::Result {
    if value.is_nan() {
        text.write_str("nan")
    } else {
        write!(text, "{value:?}")
    }
}

/// In quotes, and with nothing in it that could be taken for the end of the line or of
/// the text, or turn the reading direction.
pub(crate) fn put_str(text: &mut Text, value: &str) -> fmt::Result {
    // As Python does: with double quotes where that spares backslashes.
    let shown = value.chars().take(QUOTED_MAX);
    let has = |wanted| shown.clone().any(|char| char == wanted);
    let quote = if has('\'') && !has('"') { '"' } else { '\'' };
    text.write_char(quote)?;
    let mut rest = value.chars();
    for char in rest.by_ref().take(QUOTED_MAX) {
        put_char(text, char, quote)?;
    }
    if rest.next().is_some() {
        text.write_char(CUT)?;
    }
    text.write_char(quote)
}

fn put_bytes(text: &mut Text, bytes: &[u8]) -> fmt::Result {
    text.push("b'");
    for byte in bytes.iter().take(QUOTED_MAX) {
        match byte {
            b'\'' | b'\\' => write!(text, "\\{}", char::from(*byte))?,
            b' '..=b'~' => text.write_char(char::from(*byte))?,
            byte => write!(text, "\\x{byte:02x}")?,
        }
    }
    if bytes.len() > QUOTED_MAX {
        text.write_char(CUT)?;
    }
    text.push("'");
    Ok(())
}

fn put_char(text: &mut Text, char: char, quote: char) -> fmt::Result {
    match char {
        '\\' => write!(text, "\\\\"),
        char if char == quote => write!(text, "\\{char}"),
        '\n' => text.write_str("\\n"),
        ' '..='~' => text.write_char(char),
        char if char.is_alphanumeric() => text.write_char(char),
        char => match u32::from(char) {
            code @ ..0x100 => write!(text, "\\x{code:02x}"),
            code @ ..0x1_0000 => write!(text, "\\u{code:04x}"),
            code => write!(text, "\\U{code:08x}"),
        },
    }
}

/// Names that come again and again are kept once: those of classes and methods.
#[derive(Debug)]
pub(crate) struct Names {
    recent: Box<[Option<Arc<str>>]>,
}

/// Must be a power of two.
const RECENT: usize = 64;

impl Names {
    pub(crate) fn new() -> Self {
        Self {
            recent: vec![None; RECENT].into_boxed_slice(),
        }
    }

    pub(crate) fn get(&mut self, name: &str) -> Arc<str> {
        // FNV-1a; who makes names collide only makes them be kept twice.
        let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        let place = &mut self.recent[hash as usize & (RECENT - 1)];
        match place {
            Some(kept) if **kept == *name => kept.clone(),
            _ => place.insert(Arc::from(name)).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brine::{Limits, Value};

    fn shown(value: &Value<'_>) -> String {
        let bytes = value.to_bytes();
        let mut text = Text::new();
        put_argument(&mut text, Plain::read(&bytes, Limits::WIDE).unwrap());
        text.into_string()
    }

    #[test]
    fn values_are_shown_as_python_shows_them() {
        let one = Value::Int(Int::Small(1));
        for (value, text) in [
            (Value::None, "None"),
            (Value::Bool(true), "True"),
            (Value::Float(2.0), "2.0"),
            (Value::Float(f64::NAN), "nan"),
            (
                Value::Str("a\\\n\t\u{202e}é\u{1f600}"),
                r"'a\\\n\x09\u202eé\U0001f600'",
            ),
            (Value::Str("it's"), r#""it's""#),
            (Value::Str("it's \"x\""), r#"'it\'s "x"'"#),
            (Value::Bytes(b"a'\0\\"), r"b'a\'\x00\\'"),
            (Value::Tuple(vec![]), "()"),
            (Value::Tuple(vec![one.clone()]), "(1,)"),
            (Value::Tuple(vec![one.clone(), Value::Str("a")]), "(1, 'a')"),
            (Value::Frozenset(vec![one.clone()]), "frozenset({1})"),
            (
                Value::Slice(Box::new([one, Value::None, Value::None])),
                "slice(1, None, None)",
            ),
        ] {
            assert_eq!(shown(&value), text);
        }
    }

    #[test]
    fn long_values_are_cut_and_say_so() {
        let long = "x".repeat(100_000);
        assert_eq!(shown(&Value::Str(&long)), format!("'{}…'", "x".repeat(64)));
        let many = Value::Tuple(vec![Value::Str("some text"); 1000]);
        let text = shown(&many);
        assert!(text.len() <= ARGUMENT_MAX + CUT.len_utf8(), "{text}");
        assert!(text.ends_with(CUT), "{text}");
        // All control characters: the escapes count.
        let escapes = "\0".repeat(64);
        assert!(shown(&Value::Str(&escapes)).len() <= ARGUMENT_MAX + CUT.len_utf8());
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        let name = format!("{}é.set", "é".repeat(SHOWN_MAX));
        let short = shortened(&name);
        assert!(short.len() <= SHOWN_MAX && short.starts_with(CUT) && short.ends_with("é.set"));
        assert_eq!(&*shortened("hou.node"), "hou.node");
    }

    #[test]
    fn only_plain_names_are_taken_for_names() {
        for name in ["hou", "_x1", "os.path"] {
            assert!(is_dotted(name));
        }
        for other in ["", "1a", "a b", "a..b", ".a", "é", "hou.node('x')", "a\n"] {
            assert!(!is_dotted(other), "{other}");
        }
    }

    #[test]
    fn a_name_is_kept_once() {
        let mut names = Names::new();
        let first = names.get("hou.ObjNode");
        assert!(Arc::ptr_eq(&first, &names.get("hou.ObjNode")));
        for number in 0..1000 {
            assert_eq!(
                &*names.get(&format!("name{number}")),
                format!("name{number}")
            );
        }
        assert_eq!(names.recent.len(), RECENT);
    }
}
