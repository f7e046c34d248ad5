//! Walks the text of one JSON object from left to right, once, and hands each field on as it passes: the key, and the
//! value's kind with its place in the text. Checks the whole grammar of RFC 8259, also in values nobody asked for, so
//! that whether a record is well-formed does not depend on the question. Allocates nothing; knows no columns.

use super::text::{end_of_string, skip_space};
use crate::format::Malformed;

/// Objects and arrays within one another; a deeper record is an attack or a mistake.
const MAX_DEPTH: usize = 128;

/// A stretch of the record's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first byte.
    pub(crate) from: usize,
    /// One past the last.
    pub(crate) to: usize,
}

impl Span {
    /// The text it covers.
    pub(crate) fn of(self, text: &str) -> &str {
        // Spans begin and end at ASCII characters, hence at characters.
        text.get(self.from..self.to).unwrap_or_default()
    }
}

/// A key or a string: what stands between the quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// Between the quotes.
    pub(crate) span: Span,
    /// Whether there is a `\` in it.
    pub(crate) escaped: bool,
}

/// A number, read as far as that costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    /// As it is written.
    pub(crate) span: Span,
    /// Whether a `-` stands before it.
    pub(crate) negative: bool,
    /// All digits before the exponent as one whole number; only if `exact`.
    pub(crate) digits: u64,
    /// How many of the digits stand behind the point.
    pub(crate) decimals: usize,
    /// Whether `digits` says it all: no exponent, and no more digits than fit.
    pub(crate) exact: bool,
    /// Whether it is written without point and exponent.
    pub(crate) whole: bool,
}

/// A value, not yet of any column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(Text),
    /// An object or an array, as it is written.
    Nested(Span),
}

/// Hands each field of the object that `text` is to `field`, with its place among the fields.
///
/// # Errors
/// What is wrong with the text, or the first error of `field`.
pub(crate) fn object(text: &str, mut field: impl FnMut(usize, Text, Value) -> Result<(), Malformed>) -> Result<(), Malformed> {
    let mut scan = Scan { text: text.as_bytes(), at: 0 };
    scan.space();
    match scan.peek() {
        Some(b'{') => scan.at += 1,
        Some(_) => return Err(scan.no_object(text)),
        None => return Err(Malformed::Empty),
    }
    scan.space();
    if scan.peek() == Some(b'}') {
        scan.at += 1;
    } else {
        for position in 0.. {
            let (key, value) = scan.field()?;
            field(position, key, value)?;
            if scan.next_or_close(b'}', "\",\" or \"}\" after a field")? {
                break;
            }
        }
    }
    scan.space();
    if scan.at < scan.text.len() { Err(scan.wrong("nothing after the object")) } else { Ok(()) }
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        // Most writers put no space, or one.
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.at = skip_space(self.text, self.at);
        }
    }

    fn wrong(&self, expected: &'static str) -> Malformed {
        match self.text.get(self.at) {
            Some(&byte) => Malformed::Syntax { at: self.at, expected, found: char::from(byte).escape_default().to_string() },
            None => Malformed::Truncated { at: self.at },
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Malformed> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.wrong(expected))
        }
    }

    /// Goes past `,` (false) or the closing bracket (true).
    #[inline]
    fn next_or_close(&mut self, close: u8, expected: &'static str) -> Result<bool, Malformed> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.wrong(expected)),
        }
    }

    #[inline]
    fn key(&mut self) -> Result<Text, Malformed> {
        self.expect(b'"', "a field's name in quotes")?;
        let key = self.string()?;
        self.space();
        self.expect(b':', "\":\" after a field's name")?;
        self.space();
        Ok(key)
    }

    #[inline]
    fn field(&mut self) -> Result<(Text, Value), Malformed> {
        Ok((self.key()?, self.value()?))
    }

    #[inline]
    fn value(&mut self) -> Result<Value, Malformed> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                Ok(Value::Text(self.string()?))
            }
            Some(b'-' | b'0'..=b'9') => Ok(Value::Number(self.number()?)),
            Some(b't') => self.word("true").map(|()| Value::Bool(true)),
            Some(b'f') => self.word("false").map(|()| Value::Bool(false)),
            Some(b'n') => self.word("null").map(|()| Value::Null),
            Some(b'{' | b'[') => {
                let from = self.at;
                self.nested()?;
                Ok(Value::Nested(Span { from, to: self.at }))
            }
            _ => Err(self.wrong("a value")),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), Malformed> {
        for &byte in word.as_bytes() {
            self.expect(byte, "true, false or null")?;
        }
        Ok(())
    }

    /// The rest of a string, its opening quote being read.
    #[inline]
    fn string(&mut self) -> Result<Text, Malformed> {
        let from = self.at;
        let (end, escaped) = end_of_string(self.text, from)?;
        self.at = end + 1;
        Ok(Text { span: Span { from, to: end }, escaped })
    }

    #[inline]
    fn number(&mut self) -> Result<Number, Malformed> {
        let from = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let first = self.at;
        let mut digits = 0u64;
        let mut count = self.digits(&mut digits)?;
        if self.text[first] == b'0' && count > 1 {
            self.at = first + 1;
            return Err(self.wrong("no digit after a leading zero"));
        }
        let mut decimals = 0;
        let mut whole = true;
        if self.peek() == Some(b'.') {
            self.at += 1;
            whole = false;
            decimals = self.digits(&mut digits)?;
            count += decimals;
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if exponent {
            self.at += 1;
            whole = false;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits(&mut 0)?;
        }
        // Nineteen digits always fit into 64 bits.
        Ok(Number { span: Span { from, to: self.at }, negative, digits, decimals, exact: !exponent && count <= 19, whole })
    }

    /// Goes past digits, at least one, and appends them to `number`, which wraps beyond nineteen.
    #[inline]
    fn digits(&mut self, number: &mut u64) -> Result<usize, Malformed> {
        let from = self.at;
        while let Some(byte @ b'0'..=b'9') = self.peek() {
            *number = number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
            self.at += 1;
        }
        if self.at == from { Err(self.wrong("a digit")) } else { Ok(self.at - from) }
    }

    /// Goes past an object or array without recursion: a bit a level says which of the two it is.
    fn nested(&mut self) -> Result<(), Malformed> {
        let (mut depth, mut objects) = (0usize, 0u128);
        loop {
            // Here a value begins.
            let open = self.peek();
            if let Some(b'{' | b'[') = open {
                if depth == MAX_DEPTH {
                    return Err(Malformed::TooDeep { at: self.at, limit: MAX_DEPTH });
                }
                let object = open == Some(b'{');
                (depth, objects) = (depth + 1, objects << 1 | u128::from(object));
                self.at += 1;
                self.space();
                if self.peek() != Some(if object { b'}' } else { b']' }) {
                    if object {
                        self.key()?;
                    }
                    continue;
                }
            } else {
                self.value()?;
            }
            // Here a value has ended, or an empty object or array is about to.
            loop {
                let object = objects & 1 == 1;
                let (close, expected) = if object { (b'}', "\",\" or \"}\" after a field") } else { (b']', "\",\" or \"]\" after an element") };
                if !self.next_or_close(close, expected)? {
                    if object {
                        self.key()?;
                    }
                    break;
                }
                (depth, objects) = (depth - 1, objects >> 1);
                if depth == 0 {
                    return Ok(());
                }
            }
        }
    }

    fn no_object(&mut self, text: &str) -> Malformed {
        let found = match self.value() {
            Ok(value) => super::value::describe(value, text),
            Err(error) => return error,
        };
        Malformed::NotAnObject { found }
    }
}
