//! With words of 8 bytes, for targets without vectors that all have in common.

use super::{Block, Masks};

#[inline]
pub(in crate::spec::quick) fn masks(block: &Block) -> Masks {
    let (words, _) = block.as_chunks();
    let equal = |byte| bits(words, |word| zeros(word ^ every(byte)));
    let blanks = bits(words, |word| below(word, b' ' + 1));
    let controls = if blanks == 0 { 0 } else { bits(words, |word| below(word, b' ')) };
    let line_controls = if controls == 0 { 0 } else { equal(b'\n') | equal(b'\t') | equal(b'\r') };
    Masks {
        quotes: equal(b'"'),
        backslashes: equal(b'\\'),
        // The two kinds of brackets differ in 0x20.
        opens: bits(words, |word| zeros((word | every(0x20)) ^ every(b'{'))),
        closes: bits(words, |word| zeros((word | every(0x20)) ^ every(b'}'))),
        commas: equal(b','),
        colons: equal(b':'),
        blanks,
        line_controls,
        other_controls: controls ^ line_controls,
        beyond_ascii: bits(words, |word| word & every(0x80)),
    }
}

/// A bit for each byte that a test marks with its highest bit.
#[inline]
fn bits(words: &[[u8; 8]], test: impl Fn(u64) -> u64) -> u64 {
    // The product moves the highest bit of each byte to one of the eight highest bits.
    let gather = |word| test(u64::from_le_bytes(word)).wrapping_mul(0x0002_0408_1020_4081) >> 56;
    words.iter().rev().fold(0, |bits, word| bits << 8 | gather(*word))
}

/// Marks the bytes that are zero.
#[inline]
fn zeros(word: u64) -> u64 {
    !(((word & every(0x7f)) + every(0x7f)) | word) & every(0x80)
}

/// Marks the bytes below a limit, which is at most 0x80.
#[inline]
fn below(word: u64, limit: u8) -> u64 {
    !(((word & every(0x7f)) + every(0x80 - limit)) | word) & every(0x80)
}

const fn every(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}
