//! The letters of JSON: white space, digits, where a string ends, and what its escapes stand for. Functions of bytes.

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

/// As [`stops`], a bit a byte, for sixteen letters.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn stops_of_sixteen(sixteen: [u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let both = u128::from_le_bytes(sixteen).cast_signed();
    let letters = _mm_set_epi64x((both >> 64) as i64, both as i64);
    let is = |byte: u8| _mm_cmpeq_epi8(letters, _mm_set1_epi8(byte.cast_signed()));
    let control = _mm_cmpeq_epi8(_mm_min_epu8(letters, _mm_set1_epi8(0x1F)), letters);
    _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(is(b'"'), is(b'\\')), control)).cast_unsigned()
}

/// Powers of ten.
pub(super) const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The digits that eight letters, the first in the lowest byte, begin with: their value and how many they are. (After D. Lemire,
/// Number Parsing at a Gigabyte per Second, 2021.)
#[inline(always)]
pub(super) fn digits_of(eight: u64) -> (u64, usize) {
    let values = eight ^ (ONES * u64::from(b'0'));
    // Nine and less pass; the lowest mark is the first letter that is no digit.
    let others = (values.wrapping_add(ONES * 0x76) | values) & HIGHS;
    let count = others.trailing_zeros() as usize / 8;
    if count == 0 {
        return (0, 0);
    }
    // Zeros before them, then pairs, fours and eights.
    let values = values << (64 - 8 * count);
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    const EVEN: u64 = 0x0000_00FF_0000_00FF;
    let high = (pairs & EVEN).wrapping_mul(0x000F_4240_0000_0064);
    let low = ((pairs >> 16) & EVEN).wrapping_mul(0x0000_2710_0000_0001);
    (high.wrapping_add(low) >> 32, count)
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
    #[cfg(target_arch = "x86_64")]
    while let Some(sixteen) = text.get(at..at + 16).and_then(|sixteen| <[u8; 16]>::try_from(sixteen).ok()) {
        // SAFETY: every processor of this architecture has SSE2.
        #[allow(unsafe_code)]
        let hit = unsafe { stops_of_sixteen(sixteen) };
        if hit == 0 {
            at += 16;
            continue;
        }
        at += hit.trailing_zeros() as usize;
        if text.get(at) == Some(&b'"') {
            return StringEnd::Plain(at);
        }
        break;
    }
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
            for place in 0..40 {
                let mut text = vec![b'x'; 40];
                text[place] = byte;
                text.push(b'"');
                let end = end_of_string(&text, 0);
                match byte {
                    b'"' => assert_eq!(end, StringEnd::Plain(place)),
                    b'\\' | ..0x20 => assert_eq!(end, StringEnd::Fault, "{byte} at {place}"),
                    _ => assert_eq!(end, StringEnd::Plain(40), "{byte} at {place}"),
                }
            }
        }
    }

    #[test]
    fn digits_end_at_the_first_letter_that_is_none() {
        for number in [0u64, 7, 10, 99, 12_345, 90_000_000, 12_345_678] {
            for after in 0..=255u8 {
                let text = number.to_string();
                let mut eight = [after; 8];
                eight[..text.len()].copy_from_slice(text.as_bytes());
                if text.len() == 8 || !after.is_ascii_digit() {
                    assert_eq!(digits_of(u64::from_le_bytes(eight)), (number, text.len()), "{text} and {after}");
                }
            }
        }
        assert_eq!(digits_of(u64::from_le_bytes(*b"-1234567")), (0, 0));
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
