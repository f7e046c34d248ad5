//! Walks the text of one JSON object from left to right, once, and hands each field on as it passes: the key, and the
//! value's kind with its place in the text. Checks the whole grammar of RFC 8259, also in values nobody asked for, so
//! that whether a record is well-formed does not depend on the question. Allocates nothing; knows no columns.
//!
//! This is the hottest code of a stream. Its functions return an `Option` and leave the fault, which is large and rare,
//! in the scan: handing it through every `Result` took more than half of the time.

use super::text::{StringEnd, TENS, digits_of, end_of_string, fault_of_string, skip_space};
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

/// Who takes the fields of an object as they pass. Three ways in for values rather than one, so that the common ones
/// stay in registers on their way.
pub(crate) trait Fields {
    /// Whether what comes at `at` is known: how long what stands before the value of the field at `position` is, if it was
    /// checked before, key and all. The field begins then; [`Fields::key`] is not called for it.
    fn ahead(&mut self, _position: usize, _at: usize) -> Option<usize> {
        None
    }

    /// A field begins: its place among the fields, its key, and all that stands between the value before it and its own.
    fn key(&mut self, position: usize, key: Text, before: Span);

    /// Its value is text; says whether that will do.
    fn text(&mut self, text: Text) -> bool;

    /// Its value is a number; says whether that will do.
    fn number(&mut self, number: Number) -> bool;

    /// Its value is something else; says whether that will do.
    fn other(&mut self, value: Value) -> bool;

    /// Why the value did not do.
    fn refuse(&self, value: Value) -> Malformed;
}

/// Hands each field of the object that `text` is to `fields`.
///
/// # Errors
/// What is wrong with the text, or with the first value that `fields` refused.
#[inline(always)]
pub(crate) fn object(text: &str, fields: &mut impl Fields) -> Result<(), Malformed> {
    let mut scan = Scan { text: text.as_bytes(), at: 0, fault: None };
    match scan.object(fields) {
        Some(()) => Ok(()),
        None => Err(scan.explain(text)),
    }
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    /// Why a function gave None.
    fault: Option<Malformed>,
}

impl Scan<'_> {
    #[inline(always)]
    fn object(&mut self, fields: &mut impl Fields) -> Option<()> {
        self.space();
        if self.peek() != Some(b'{') {
            return None;
        }
        self.at += 1;
        for position in 0.. {
            match fields.ahead(position, self.at) {
                Some(length) => {
                    self.at += length;
                    self.space();
                }
                None => {
                    if !self.next_field(position, fields)? {
                        break;
                    }
                }
            }
            self.field(fields)?;
        }
        self.space();
        if self.at < self.text.len() { self.wrong("nothing after the object") } else { Some(()) }
    }

    /// Goes to the value of the next field, if there is one.
    #[inline(never)]
    fn next_field(&mut self, position: usize, fields: &mut impl Fields) -> Option<bool> {
        let from = self.at;
        if position == 0 {
            self.space();
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Some(false);
            }
        } else if self.next_or_close(b'}', "\",\" or \"}\" after a field")? {
            return Some(false);
        }
        let key = self.key()?;
        fields.key(position, key, Span { from, to: self.at });
        Some(true)
    }

    /// The value of a field.
    #[inline(always)]
    fn field(&mut self, fields: &mut impl Fields) -> Option<()> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                let text = self.string()?;
                if fields.text(text) { Some(()) } else { self.refused(fields, Value::Text(text)) }
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                if fields.number(number) { Some(()) } else { self.refused(fields, Value::Number(number)) }
            }
            _ => {
                let value = self.other()?;
                if fields.other(value) { Some(()) } else { self.refused(fields, value) }
            }
        }
    }

    #[cold]
    fn refused(&mut self, fields: &impl Fields, value: Value) -> Option<()> {
        self.fail(fields.refuse(value))
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline(always)]
    fn space(&mut self) {
        // Most writers put no space, or one.
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.at = skip_space(self.text, self.at);
        }
    }

    #[cold]
    fn fail<T>(&mut self, fault: Malformed) -> Option<T> {
        self.fault = Some(fault);
        None
    }

    #[cold]
    fn wrong<T>(&mut self, expected: &'static str) -> Option<T> {
        let fault = match self.text.get(self.at) {
            Some(&byte) => {
                Malformed::Syntax { at: self.at, expected, found: char::from(byte).escape_default().to_string() }
            }
            None => Malformed::Truncated { at: self.at },
        };
        self.fail(fault)
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8, expected: &'static str) -> Option<()> {
        if self.peek() != Some(byte) {
            return self.wrong(expected);
        }
        self.at += 1;
        Some(())
    }

    /// Goes past `,` (false) or the closing bracket (true).
    #[inline(always)]
    fn next_or_close(&mut self, close: u8, expected: &'static str) -> Option<bool> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.space();
                Some(false)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Some(true)
            }
            _ => self.wrong(expected),
        }
    }

    #[inline(always)]
    fn key(&mut self) -> Option<Text> {
        self.expect(b'"', "a field's name in quotes")?;
        let key = self.string()?;
        self.space();
        self.expect(b':', "\":\" after a field's name")?;
        self.space();
        Some(key)
    }

    /// A value that is neither text nor a number.
    #[inline(never)]
    fn other(&mut self) -> Option<Value> {
        match self.peek() {
            Some(b't') => self.word("true").map(|()| Value::Bool(true)),
            Some(b'f') => self.word("false").map(|()| Value::Bool(false)),
            Some(b'n') => self.word("null").map(|()| Value::Null),
            Some(b'{' | b'[') => {
                let from = self.at;
                self.nested()?;
                Some(Value::Nested(Span { from, to: self.at }))
            }
            _ => self.wrong("a value"),
        }
    }

    fn word(&mut self, word: &'static str) -> Option<()> {
        word.bytes().try_for_each(|byte| self.expect(byte, "true, false or null"))
    }

    /// The rest of a string, its opening quote being read.
    #[inline(always)]
    fn string(&mut self) -> Option<Text> {
        let from = self.at;
        let (to, escaped) = match end_of_string(self.text, from) {
            StringEnd::Plain(to) => (to, false),
            StringEnd::Escaped(to) => (to, true),
            StringEnd::Fault => return self.fail(fault_of_string(self.text, from)),
        };
        self.at = to + 1;
        Some(Text { span: Span { from, to }, escaped })
    }

    #[inline(always)]
    fn number(&mut self) -> Option<Number> {
        let from = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let first = self.at;
        let mut digits = 0u64;
        let mut count = self.digits(&mut digits)?;
        if self.text[first] == b'0' && count > 1 {
            self.at = first + 1;
            return self.wrong("no digit after a leading zero");
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
            whole = false;
            self.exponent()?;
        }
        // Nineteen digits always fit into 64 bits.
        Some(Number {
            span: Span { from, to: self.at },
            negative,
            digits,
            decimals,
            exact: !exponent && count <= 19,
            whole,
        })
    }

    #[cold]
    fn exponent(&mut self) -> Option<()> {
        self.at += 1;
        if matches!(self.peek(), Some(b'+' | b'-')) {
            self.at += 1;
        }
        self.digits(&mut 0).map(|_| ())
    }

    /// Goes past digits, at least one, and appends them to `number`, which wraps beyond nineteen.
    #[inline(always)]
    fn digits(&mut self, number: &mut u64) -> Option<usize> {
        let from = self.at;
        while let Some(eight) = self.text.get(self.at..self.at + 8).and_then(|eight| <[u8; 8]>::try_from(eight).ok()) {
            let (value, count) = digits_of(u64::from_le_bytes(eight));
            *number = number.wrapping_mul(TENS[count]).wrapping_add(value);
            self.at += count;
            if count < 8 {
                return if self.at == from { self.wrong("a digit") } else { Some(self.at - from) };
            }
        }
        while let Some(byte @ b'0'..=b'9') = self.peek() {
            *number = number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
            self.at += 1;
        }
        if self.at == from { self.wrong("a digit") } else { Some(self.at - from) }
    }

    /// Goes past an object or array without recursion: a bit a level says which of the two it is.
    #[inline(never)]
    fn nested(&mut self) -> Option<()> {
        let (mut depth, mut objects) = (0usize, 0u128);
        loop {
            // Here a value begins.
            let open = self.peek();
            if let Some(b'{' | b'[') = open {
                if depth == MAX_DEPTH {
                    return self.fail(Malformed::TooDeep { at: self.at, limit: MAX_DEPTH });
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
                let (close, expected) = if object {
                    (b'}', "\",\" or \"}\" after a field")
                } else {
                    (b']', "\",\" or \"]\" after an element")
                };
                if !self.next_or_close(close, expected)? {
                    if object {
                        self.key()?;
                    }
                    break;
                }
                (depth, objects) = (depth - 1, objects >> 1);
                if depth == 0 {
                    return Some(());
                }
            }
        }
    }

    /// Any value.
    fn value(&mut self) -> Option<Value> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string().map(Value::Text)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            _ => self.other(),
        }
    }

    /// The fault, or what the text is if it does not even begin as an object.
    #[cold]
    fn explain(mut self, text: &str) -> Malformed {
        if let Some(fault) = self.fault.take() {
            return fault;
        }
        if self.at == self.text.len() {
            return Malformed::Empty;
        }
        match self.value() {
            Some(value) => Malformed::NotAnObject { found: super::value::describe(value, text) },
            None => self.fault.unwrap_or(Malformed::Truncated { at: self.at }),
        }
    }
}
