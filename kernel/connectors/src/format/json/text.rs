//! The letters of JSON: white space, where a string ends, and what its escapes stand for. Functions of bytes.

use crate::format::Malformed;

/// The first place at or after `at` that is no white space.
pub(super) fn skip_space(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).unwrap_or(rest.len())
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// A high bit in every byte of `word` that ends a plain stretch of a string: `"`, `\` or a control character. Bytes
/// above the first hit may be marked wrongly (a borrow runs upwards), so only the lowest mark counts.
#[inline]
fn stops(word: u64) -> u64 {
    let zero_in = |x: u64| x.wrapping_sub(ONES) & !x & HIGHS;
    let quote = zero_in(word ^ (ONES * u64::from(b'"')));
    let backslash = zero_in(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    quote | backslash | control
}

/// Where the closing quote of a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StringEnd {
    /// There, and the text is what stands before it.
    Plain(usize),
    /// There, and escapes stand before it.
    Escaped(usize),
    /// Nowhere, for a reason that [`fault_of_string`] knows.
    Fault,
}

/// Where the closing quote of a string is whose text begins at `from`.
#[inline(always)]
pub(super) fn end_of_string(text: &[u8], from: usize) -> StringEnd {
    let mut at = from;
    loop {
        // Eight letters at a time.
        while let Some(word) = text.get(at..at + 8).and_then(|eight| <[u8; 8]>::try_from(eight).ok()) {
            let hit = stops(u64::from_le_bytes(word));
            if hit != 0 {
                at += hit.trailing_zeros() as usize / 8;
                break;
            }
            at += 8;
        }
        match text.get(at) {
            Some(b'"') => return StringEnd::Plain(at),
            Some(b'\\') => return end_of_escaped(text, at).map_or(StringEnd::Fault, StringEnd::Escaped),
            None | Some(..0x20) => return StringEnd::Fault,
            Some(_) => at += 1,
        }
    }
}

/// Why a string has no end.
#[cold]
pub(super) fn fault_of_string(text: &[u8], from: usize) -> Malformed {
    end_of_escaped(text, from).err().unwrap_or(Malformed::Truncated { at: text.len() })
}

/// Where the closing quote is, looking at letter by letter: for the few strings with escapes.
#[inline(never)]
fn end_of_escaped(text: &[u8], from: usize) -> Result<usize, Malformed> {
    let mut at = from;
    loop {
        match text.get(at) {
            Some(b'"') => return Ok(at),
            Some(b'\\') => at = end_of_escape(text, at)?,
            Some(&byte @ ..0x20) => {
                let expected = "no control character in a string";
                return Err(Malformed::Syntax { at, expected, found: char::from(byte).escape_default().to_string() });
            }
            Some(_) => at += 1,
            None => return Err(Malformed::Truncated { at: text.len() }),
        }
    }
}

/// One past the escape that begins at `at`; a `\u` that is half of a pair takes the other half with it.
fn end_of_escape(text: &[u8], at: usize) -> Result<usize, Malformed> {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let unit = hex(text, at + 2)?;
            match unit {
                0xD800..=0xDBFF
                    if text.get(at + 6..at + 8) == Some(b"\\u") && (0xDC00..=0xDFFF).contains(&hex(text, at + 8)?) =>
                {
                    Ok(at + 12)
                }
                0xD800..=0xDFFF => {
                    let expected = "both halves of a surrogate pair";
                    Err(Malformed::Syntax { at, expected, found: format!("\\u{unit:04x}") })
                }
                _ => Ok(at + 6),
            }
        }
        Some(&byte) => {
            let expected = "an escape that JSON knows";
            Err(Malformed::Syntax { at, expected, found: format!("\\{}", char::from(byte).escape_default()) })
        }
        None => Err(Malformed::Truncated { at: text.len() }),
    }
}

fn hex(text: &[u8], at: usize) -> Result<u32, Malformed> {
    let mut unit = 0;
    for place in at..at + 4 {
        let byte = *text.get(place).ok_or(Malformed::Truncated { at: text.len() })?;
        let digit = char::from(byte).to_digit(16).ok_or_else(|| Malformed::Syntax {
            at: place,
            expected: "four hexadecimal digits after \\u",
            found: char::from(byte).escape_default().to_string(),
        })?;
        unit = unit << 4 | digit;
    }
    Ok(unit)
}

/// Appends what `text`, checked by [`end_of_string`], stands for.
pub(crate) fn unescape(text: &str, into: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        into.push_str(&rest[..at]);
        let bytes = rest.as_bytes();
        let (letter, length) = match bytes.get(at + 1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => unicode(bytes, at),
            Some(&other) => (char::from(other), 2),
            None => return,
        };
        into.push(letter);
        rest = rest.get(at + length..).unwrap_or_default();
    }
    into.push_str(rest);
}

fn unicode(text: &[u8], at: usize) -> (char, usize) {
    let unit = |at| hex(text, at).unwrap_or(0xFFFD);
    match unit(at + 2) {
        high @ 0xD800..=0xDBFF => {
            let code = 0x10000 + ((high - 0xD800) << 10) + (unit(at + 8).wrapping_sub(0xDC00) & 0x3FF);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        code => (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_byte_is_told_apart_at_every_place_of_a_word() {
        for byte in 0..=255u8 {
            for place in 0..20 {
                let mut text = vec![b'x'; 20];
                text[place] = byte;
                text.push(b'"');
                let end = end_of_string(&text, 0);
                match byte {
                    b'"' => assert_eq!(end, StringEnd::Plain(place)),
                    b'\\' | ..0x20 => assert_eq!(end, StringEnd::Fault, "{byte} at {place}"),
                    _ => assert_eq!(end, StringEnd::Plain(20), "{byte} at {place}"),
                }
            }
        }
    }

    #[test]
    fn escapes_stand_for_their_letters() {
        let mut text = String::new();
        unescape(r#"a\"\\\/\b\f\n\r\té\ud83d\ude00z"#, &mut text);
        assert_eq!(text, "a\"\\/\u{8}\u{c}\n\r\té😀z");
    }

    #[test]
    fn half_a_pair_is_refused() {
        for text in [r#"\ud83d""#, r#"\ude00\ud83d""#, r#"\ud83dA""#, r#"\ud83d\n""#] {
            assert_eq!(end_of_string(text.as_bytes(), 0), StringEnd::Fault, "{text}");
        }
    }
}
