//! The scan that comes before the reader: it looks for what serde_json does not look for in the
//! values it skips. It may only refuse.

use alloc::format;
use alloc::string::String;

use super::{Error, Fault};

/// As deep as Go reads (`maxNestingDepth` of `encoding/json`).
const MAX_DEPTH: u32 = 10_000;

/// Refuses text that is not UTF-8, escapes of half a surrogate pair, and deep nesting.
pub(super) fn check(spec: &[u8]) -> Result<&str, Error> {
    let text = core::str::from_utf8(spec)
        .map_err(|error| refuse(spec, error.valid_up_to(), Fault::Encoding, "text that is not UTF-8".into()))?;
    let mut depth = 0_u32;
    let mut bytes = Cursor { bytes: spec, at: 0 };
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => bytes
                .skip_string()
                .map_err(|at| refuse(spec, at, Fault::Surrogate, "an escape of half a surrogate pair".into()))?,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    let message = format!("nested deeper than {MAX_DEPTH} levels");
                    return Err(refuse(spec, bytes.at - 1, Fault::Depth, message));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(text)
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
    /// escape that is none, are for the reader to refuse. `Err` is the place of a lone surrogate.
    fn skip_string(&mut self) -> Result<(), usize> {
        loop {
            match self.next() {
                None | Some(b'"') => return Ok(()),
                Some(b'\\') => self.skip_escape()?,
                Some(_) => {}
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

    /// Four hex digits; nothing is read if they are none.
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
    Error { fault, place: String::new(), line: number(line), column: number(column), message }
}
