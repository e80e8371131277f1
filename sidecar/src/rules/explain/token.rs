//! The words of an expression.

/// Why a text is no expression that can be explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct ExpressionError {
    /// Where, from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Number(String),
    Str(String),
    Bytes(Vec<u8>),
    Sign(&'static str),
}

const SIGNS: &[&str] = &[
    "==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", ",", ".", "=", ":", "<", ">", "+", "-",
    "*", "/",
];

pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ExpressionError> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let column = at + 1;
        let first = chars[at];
        if first.is_whitespace() {
            at += 1;
        } else if matches!(first, '"' | '\'') {
            found.push((column, Token::Str(quoted(&chars, &mut at)?)));
        } else if first == 'b' && matches!(chars.get(at + 1), Some('"' | '\'')) {
            at += 1;
            found.push((column, Token::Bytes(quoted(&chars, &mut at)?.into_bytes())));
        } else if first.is_alphabetic() || first == '_' {
            let start = at;
            while chars
                .get(at)
                .is_some_and(|c| c.is_alphanumeric() || *c == '_')
            {
                at += 1;
            }
            found.push((column, Token::Name(chars[start..at].iter().collect())));
        } else if first.is_ascii_digit() {
            let start = at;
            while chars.get(at).is_some_and(|c| {
                c.is_ascii_alphanumeric()
                    || "._".contains(*c)
                    || (matches!(c, '+' | '-') && matches!(chars[at - 1], 'e' | 'E'))
            }) {
                at += 1;
            }
            found.push((
                column,
                Token::Number(chars[start..at].iter().filter(|c| **c != '_').collect()),
            ));
        } else {
            let rest: String = chars[at..chars.len().min(at + 2)].iter().collect();
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign =
                sign.ok_or_else(|| wrong(column, format!("{first:?} is not understood here")))?;
            at += sign.len();
            found.push((column, Token::Sign(sign)));
        }
    }
    Ok(found)
}

fn quoted(chars: &[char], at: &mut usize) -> Result<String, ExpressionError> {
    let (start, quote) = (*at, chars[*at]);
    *at += 1;
    let mut text = String::new();
    loop {
        let Some(next) = chars.get(*at) else {
            return Err(wrong(start + 1, "the text has no end"));
        };
        *at += 1;
        match next {
            c if *c == quote => return Ok(text),
            '\\' => {
                let escaped = chars.get(*at).copied();
                *at += 1;
                text.push(match escaped {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some(c @ ('\\' | '\'' | '"')) => c,
                    _ => {
                        return Err(wrong(
                            *at,
                            "only \\n, \\t, \\\\, \\' and \\\" are understood",
                        ));
                    }
                });
            }
            c => text.push(*c),
        }
    }
}

pub(super) fn wrong(column: usize, problem: impl Into<String>) -> ExpressionError {
    ExpressionError {
        column,
        problem: problem.into(),
    }
}
