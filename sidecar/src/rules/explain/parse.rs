//! A small part of Python's expressions.

use super::token::{ExpressionError, Token, tokens, wrong};

/// The longest expression in bytes, the deepest nesting, and the longest chain of attributes,
/// calls and operators: each is one level deeper for whoever goes through it.
const LONGEST: usize = 4096;
const DEEPEST: usize = 32;
const MOST_LINKS: usize = 256;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Name(String),
    Attr(Box<Expr>, String),
    Call(Box<Expr>, Vec<Expr>, Vec<(String, Expr)>),
    Index(Box<Expr>, Box<Expr>),
    Tuple(Vec<Expr>),
    /// A list, a dict or a set: an object of the client.
    Display,
    None,
    Bool(bool),
    Int(i64),
    LongInt,
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
    /// The method of an operator or a comparison, and its two sides.
    Operator(&'static str, Box<Expr>, Box<Expr>),
    Negative(Box<Expr>),
    Assign(Box<Expr>, String, Box<Expr>),
    Delete(Box<Expr>, String),
}

pub(super) fn parse(text: &str) -> Result<Expr, ExpressionError> {
    if text.len() > LONGEST {
        return Err(wrong(1, format!("it is longer than {LONGEST} bytes")));
    }
    let tokens = tokens(text)?;
    let end = text.chars().count() + 1;
    let mut parser = Parser {
        tokens,
        at: 0,
        end,
        depth: 0,
        links: 0,
    };
    let parsed = parser.statement()?;
    match parser.tokens.get(parser.at) {
        None => Ok(parsed),
        Some((column, _)) => Err(wrong(*column, "nothing more was expected here")),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    end: usize,
    depth: usize,
    links: usize,
}

impl Parser {
    fn statement(&mut self) -> Result<Expr, ExpressionError> {
        if self.peek_name("del") {
            self.at += 1;
            let column = self.column();
            return match self.comparison()? {
                Expr::Attr(of, name) => Ok(Expr::Delete(of, name)),
                _ => Err(wrong(column, "only an attribute can be deleted here")),
            };
        }
        let column = self.column();
        let left = self.comparison()?;
        if !self.take("=") {
            return Ok(left);
        }
        let right = self.comparison()?;
        match left {
            Expr::Attr(of, name) => Ok(Expr::Assign(of, name, Box::new(right))),
            _ => Err(wrong(column, "only an attribute can be assigned to here")),
        }
    }

    fn comparison(&mut self) -> Result<Expr, ExpressionError> {
        const COMPARISONS: [(&str, &str); 6] = [
            ("==", "__eq__"),
            ("!=", "__ne__"),
            ("<=", "__le__"),
            (">=", "__ge__"),
            ("<", "__lt__"),
            (">", "__gt__"),
        ];
        let mut left = self.sum()?;
        while let Some((_, method)) = COMPARISONS.iter().find(|(sign, _)| self.take(sign)) {
            self.link()?;
            left = Expr::Operator(method, Box::new(left), Box::new(self.sum()?));
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Expr, ExpressionError> {
        let mut left = self.product()?;
        while let Some((_, method)) = [("+", "__add__"), ("-", "__sub__")]
            .iter()
            .find(|(sign, _)| self.take(sign))
        {
            self.link()?;
            left = Expr::Operator(method, Box::new(left), Box::new(self.product()?));
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Expr, ExpressionError> {
        let mut left = self.unary()?;
        while let Some((_, method)) = [("*", "__mul__"), ("/", "__truediv__")]
            .iter()
            .find(|(sign, _)| self.take(sign))
        {
            self.link()?;
            left = Expr::Operator(method, Box::new(left), Box::new(self.unary()?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, ExpressionError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(wrong(self.column(), "it is nested too deeply"));
        }
        let parsed = if self.take("-") {
            match self.unary()? {
                Expr::Int(value) => Expr::Int(-value),
                Expr::Float(value) => Expr::Float(-value),
                Expr::LongInt => Expr::LongInt,
                other => Expr::Negative(Box::new(other)),
            }
        } else {
            self.trailers()?
        };
        self.depth -= 1;
        Ok(parsed)
    }

    fn trailers(&mut self) -> Result<Expr, ExpressionError> {
        let mut of = self.atom()?;
        loop {
            if self.take(".") {
                self.link()?;
                let column = self.column();
                match self.next() {
                    Some(Token::Name(name)) => of = Expr::Attr(Box::new(of), name),
                    _ => return Err(wrong(column, "a name was expected after the dot")),
                }
            } else if self.take("(") {
                self.link()?;
                let (mut args, mut kwargs) = (Vec::new(), Vec::new());
                while !self.take(")") {
                    let column = self.column();
                    let keyword = match (self.tokens.get(self.at), self.tokens.get(self.at + 1)) {
                        (Some((_, Token::Name(name))), Some((_, Token::Sign("=")))) => {
                            Some(name.clone())
                        }
                        _ => None,
                    };
                    if let Some(name) = keyword {
                        self.at += 2;
                        kwargs.push((name, self.comparison()?));
                    } else if kwargs.is_empty() {
                        args.push(self.comparison()?);
                    } else {
                        return Err(wrong(
                            column,
                            "a positional argument follows a keyword argument",
                        ));
                    }
                    self.comma_or(")")?;
                }
                of = Expr::Call(Box::new(of), args, kwargs);
            } else if self.take("[") {
                self.link()?;
                let index = self.comparison()?;
                self.expect("]")?;
                of = Expr::Index(Box::new(of), Box::new(index));
            } else {
                return Ok(of);
            }
        }
    }

    /// Counts one more link of a chain.
    fn link(&mut self) -> Result<(), ExpressionError> {
        self.links += 1;
        match self.links > MOST_LINKS {
            true => Err(wrong(self.column(), "it goes on for too long")),
            false => Ok(()),
        }
    }

    fn atom(&mut self) -> Result<Expr, ExpressionError> {
        let column = self.column();
        match self.next() {
            Some(Token::Name(name)) => Ok(match name.as_str() {
                "None" => Expr::None,
                "True" => Expr::Bool(true),
                "False" => Expr::Bool(false),
                "lambda" => {
                    return Err(wrong(
                        column,
                        "a lambda is a function of the client: write [] for any object of the client",
                    ));
                }
                _ => Expr::Name(name),
            }),
            Some(Token::Str(text)) => Ok(Expr::Str(text)),
            Some(Token::Bytes(bytes)) => Ok(Expr::Bytes(bytes)),
            Some(Token::Number(text)) => {
                number(&text).ok_or_else(|| wrong(column, format!("{text} is no number")))
            }
            Some(Token::Sign("(")) => {
                let mut items = Vec::new();
                let mut commas = 0;
                while !self.take(")") {
                    items.push(self.comparison()?);
                    commas += usize::from(self.comma_or(")")?);
                }
                match (items.len(), commas) {
                    (1, 0) => Ok(items.remove(0)),
                    _ => Ok(Expr::Tuple(items)),
                }
            }
            Some(Token::Sign(open @ ("[" | "{"))) => {
                let close = if open == "[" { "]" } else { "}" };
                while !self.take(close) {
                    self.comparison()?;
                    if self.take(":") {
                        self.comparison()?;
                    }
                    self.comma_or(close)?;
                }
                Ok(Expr::Display)
            }
            _ => Err(wrong(column, "an expression was expected here")),
        }
    }

    fn column(&self) -> usize {
        self.tokens
            .get(self.at)
            .map_or(self.end, |(column, _)| *column)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at)?.1.clone();
        self.at += 1;
        Some(token)
    }

    fn peek_name(&self, name: &str) -> bool {
        matches!(self.tokens.get(self.at), Some((_, Token::Name(found))) if found == name)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found =
            matches!(self.tokens.get(self.at), Some((_, Token::Sign(found))) if *found == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), ExpressionError> {
        let column = self.column();
        if self.take(sign) {
            Ok(())
        } else {
            Err(wrong(column, format!("{sign} was expected here")))
        }
    }

    /// Takes a comma; without one the end must follow.
    fn comma_or(&mut self, close: &str) -> Result<bool, ExpressionError> {
        if self.take(",") {
            return Ok(true);
        }
        match self.tokens.get(self.at) {
            Some((_, Token::Sign(sign))) if *sign == close => Ok(false),
            _ => Err(wrong(
                self.column(),
                format!("a comma or {close} was expected here"),
            )),
        }
    }
}

fn number(text: &str) -> Option<Expr> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().map_or(Expr::LongInt, Expr::Int));
    }
    // Python's `1e999` is infinite, which is no number that a parm takes; it parses.
    text.parse().ok().map(Expr::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scripts_write_is_read() {
        let parsed = parse("hou.node('/obj/a').parm(\"t\").set(-2.5, x=(1, None,))").unwrap();
        let Expr::Call(set, args, kwargs) = parsed else {
            panic!()
        };
        assert!(matches!(*set, Expr::Attr(_, name) if name == "set"));
        assert_eq!(args, [Expr::Float(-2.5)]);
        assert_eq!(
            kwargs,
            [("x".into(), Expr::Tuple(vec![Expr::Int(1), Expr::None]))]
        );
        assert_eq!(parse("(1)").unwrap(), Expr::Int(1));
        assert_eq!(parse("[1, {2: 3}]").unwrap(), Expr::Display);
        assert_eq!(parse("99999999999999999999").unwrap(), Expr::LongInt);
        assert!(matches!(parse("a.b = 1").unwrap(), Expr::Assign(..)));
        assert!(matches!(parse("del a.b").unwrap(), Expr::Delete(..)));
        assert!(matches!(
            parse("a < b").unwrap(),
            Expr::Operator("__lt__", ..)
        ));
    }

    #[test]
    fn what_is_not_understood_is_told_by_column() {
        for (bad, column) in [
            ("", 1),
            ("hou.", 5),
            ("hou.node('x", 10),
            ("hou.node(", 10),
            ("a b", 3),
            ("f(a=1, 2)", 8),
            ("a ? b", 3),
            ("1 = 2", 1),
            ("'\\x41'", 3),
        ] {
            assert_eq!(parse(bad).unwrap_err().column, column, "{bad:?}");
        }
        assert!(parse(&"(".repeat(100)).is_err());
        for chain in [".a", "()", "[0]", "+1", "<1", "*1"] {
            let long = |count| format!("a{}", chain.repeat(count));
            assert!(parse(&long(100)).is_ok());
            let error = parse(&long(1000)).unwrap_err();
            assert_eq!(error.problem, "it goes on for too long", "{chain}");
        }
        assert!(parse(&"a".repeat(5000)).is_err());
    }
}
