//! The scan that comes before the reader: it looks for what serde_json does not look for in the
//! values it skips. It may only refuse.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use crate::{Error, Fault, MAX_DEPTH};

/// Refuses a byte order mark, keys that are not UTF-8, escapes of half a surrogate pair, and deep nesting.
///
/// Bytes that are not UTF-8 are read as Go reads them, as U+FFFD, in the strings that are values. In a key they are refused, since a reader that leaves them out could
/// find a known one.
///
/// This runs for every container, so a glance at the bytes, eight at a time, comes first: hardly
/// any spec holds an escape of a surrogate, or as many brackets as it takes to nest too deep.
pub(crate) fn check(spec: &[u8]) -> Result<Cow<'_, str>, Error> {
    if spec.starts_with(b"\xef\xbb\xbf") {
        let message = "not valid JSON: it starts with a byte order mark; save it without one";
        return Err(refuse(spec, 0, Fault::Syntax, message.into()));
    }
    let text = match core::str::from_utf8(spec) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            check_encoding(spec)?;
            String::from_utf8_lossy(spec)
        }
    };
    if may_nest_too_deep(spec) || may_escape_surrogates(spec) {
        walk(spec)?;
    }
    Ok(text)
}

/// Refuses bytes that are not UTF-8 outside of values.
fn check_encoding(spec: &[u8]) -> Result<(), Error> {
    let fault =
        |at| refuse(spec, at, Fault::Encoding, "the text is not UTF-8 outside of strings that are values".into());
    let mut bytes = Cursor { bytes: spec, at: 0 };
    let mut checked = 0;
    while let Some(byte) = bytes.next() {
        if byte != b'"' {
            continue;
        }
        let start = bytes.at - 1;
        // What lies between strings.
        if let Err(error) = core::str::from_utf8(spec.get(checked..start).unwrap_or_default()) {
            return Err(fault(checked + error.valid_up_to()));
        }
        // Half a surrogate pair, at which this stops, is for the walk to refuse.
        while bytes.skip_string().is_err() {}
        checked = bytes.at;
        let rest = spec.get(checked..).unwrap_or_default();
        let is_key = rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
        if is_key && let Err(error) = core::str::from_utf8(spec.get(start..checked).unwrap_or_default()) {
            return Err(fault(start + error.valid_up_to()));
        }
    }
    // A string that never ends is for the reader to refuse.
    core::str::from_utf8(spec.get(checked..).unwrap_or_default())
        .map(drop)
        .map_err(|error| fault(checked + error.valid_up_to()))
}

/// Whether there are enough opening brackets, strings included.
fn may_nest_too_deep(spec: &[u8]) -> bool {
    spec.len() > MAX_DEPTH && opening_brackets(spec) > MAX_DEPTH
}

/// How many bytes are `{` or `[`. May count too many, never too few.
fn opening_brackets(spec: &[u8]) -> usize {
    let is_bracket = |byte: &&u8| matches!(byte, b'{' | b'[');
    let (words, rest) = spec.as_chunks::<8>();
    // The two differ in one bit, 0x20.
    let in_words: usize =
        words.iter().map(|word| zeros((u64::from_ne_bytes(*word) | every(0x20)) ^ every(b'{')) as usize).sum();
    in_words + rest.iter().filter(is_bracket).count()
}

/// How many bytes of a word are zero. A byte of 1 above a zero may count too.
fn zeros(word: u64) -> u32 {
    (word.wrapping_sub(every(1)) & !word & every(0x80)).count_ones()
}

/// A word that holds the same byte eight times.
const fn every(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Whether there is a backslash with `ud8` to `udf` behind it, whether it is an escape or not.
fn may_escape_surrogates(spec: &[u8]) -> bool {
    memchr::memchr_iter(b'\\', spec).any(|at| {
        let behind = spec.get(at + 1..).unwrap_or_default();
        matches!(behind, [b'u', b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..])
    })
}

/// Goes through brackets, strings and escapes one by one.
fn walk(spec: &[u8]) -> Result<(), Error> {
    let mut depth = 0_usize;
    let mut bytes = Cursor { bytes: spec, at: 0 };
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => bytes
                .skip_string()
                .map_err(|at| refuse(spec, at, Fault::Surrogate, "an escape encodes half a surrogate pair".into()))?,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    let message = format!("the document is nested deeper than {MAX_DEPTH} levels");
                    return Err(refuse(spec, bytes.at - 1, Fault::Depth, message));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    /// Skips the rest of a string, whose quote has been read. A string that never ends, and an
    /// invalid escape, are for the reader to refuse. `Err` is the place of a lone surrogate.
    fn skip_string(&mut self) -> Result<(), usize> {
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            self.at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len());
            match self.next() {
                None | Some(b'"') => return Ok(()),
                Some(_) => self.skip_escape()?,
            }
        }
    }

    fn skip_escape(&mut self) -> Result<(), usize> {
        let start = self.at - 1;
        if self.next() != Some(b'u') {
            return Ok(());
        }
        match self.code_unit() {
            Some(0xD800..=0xDBFF) => {
                let paired = self.bytes.get(self.at..self.at + 2) == Some(b"\\u") && {
                    self.at += 2;
                    matches!(self.code_unit(), Some(0xDC00..=0xDFFF))
                };
                if paired { Ok(()) } else { Err(start) }
            }
            Some(0xDC00..=0xDFFF) => Err(start),
            _ => Ok(()),
        }
    }

    /// Four hex digits; nothing is read if they are not.
    fn code_unit(&mut self) -> Option<u16> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        let mut unit = 0;
        for digit in digits {
            unit = unit << 4 | u16::try_from(char::from(*digit).to_digit(16)?).ok()?;
        }
        self.at += 4;
        Some(unit)
    }
}

fn refuse(spec: &[u8], at: usize, fault: Fault, message: String) -> Error {
    let before = spec.get(..at).unwrap_or(spec);
    let line = before.iter().filter(|byte| **byte == b'\n').count();
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count();
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1);
    Error { line: number(line), column: number(column), ..Error::new(fault, message) }
}

#[cfg(test)]
mod tests;
