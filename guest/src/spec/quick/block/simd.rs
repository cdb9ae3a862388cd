//! With the vectors of WebAssembly, of 16 bytes each.

use core::arch::wasm32::{
    i8x16_bitmask, i8x16_lt, i8x16_min, i8x16_splat, u8x16_eq, u8x16_splat, u64x2, v128, v128_any_true, v128_or,
};

use super::{Block, Masks};

#[inline]
pub(in crate::spec::quick) fn masks(block: &Block) -> Masks {
    let vectors = load(block);
    let [a, b, c, d] = vectors;
    // The two kinds of brackets differ in this bit.
    let folded = vectors.map(|vector| v128_or(vector, u8x16_splat(0x20)));
    let mut masks = Masks {
        quotes: bits(vectors, |vector| equal(vector, b'"')),
        backslashes: rare(vectors, |vector| equal(vector, b'\\')),
        opens: bits(folded, |vector| equal(vector, b'{')),
        closes: bits(folded, |vector| equal(vector, b'}')),
        commas: bits(vectors, |vector| equal(vector, b',')),
        colons: bits(vectors, |vector| equal(vector, b':')),
        blanks: 0,
        line_controls: 0,
        other_controls: 0,
        beyond_ascii: 0,
    };
    // With a sign: what is not ASCII is below too.
    let least = i8x16_min(i8x16_min(a, b), i8x16_min(c, d));
    if is_any_below(least, 0x21) {
        masks.blanks = bits(vectors, |vector| i8x16_lt(vector, i8x16_splat(0x21)));
        if is_any_below(least, 0x20) {
            tell_apart(vectors, &mut masks);
        }
    }
    masks
}

/// Tells apart what is below the space.
#[inline]
fn tell_apart(vectors: [v128; 4], masks: &mut Masks) {
    let lines = |vector| v128_or(equal(vector, b'\n'), v128_or(equal(vector, b'\t'), equal(vector, b'\r')));
    let below = bits(vectors, |vector| i8x16_lt(vector, i8x16_splat(0x20)));
    masks.line_controls = bits(vectors, lines);
    masks.beyond_ascii = bits(vectors, |vector| vector);
    masks.other_controls = below ^ masks.beyond_ascii ^ masks.line_controls;
    masks.blanks ^= masks.beyond_ascii;
}

#[inline]
fn is_any_below(vector: v128, limit: i8) -> bool {
    i8x16_bitmask(i8x16_lt(vector, i8x16_splat(limit))) != 0
}

#[inline]
fn load(block: &Block) -> [v128; 4] {
    let (halves, _) = block.as_chunks::<8>();
    let [a, b, c, d, e, f, g, h] =
        core::array::from_fn(|at| halves.get(at).map_or(0, |half| u64::from_le_bytes(*half)));
    [u64x2(a, b), u64x2(c, d), u64x2(e, f), u64x2(g, h)]
}

/// A bit for each byte that a test finds.
#[inline]
fn bits(vectors: [v128; 4], test: impl Fn(v128) -> v128) -> u64 {
    let [a, b, c, d] = vectors.map(|vector| u64::from(i8x16_bitmask(test(vector))));
    a | b << 16 | c << 32 | d << 48
}

/// The same for what hardly any block holds.
#[inline]
fn rare(vectors: [v128; 4], test: impl Fn(v128) -> v128) -> u64 {
    let [a, b, c, d] = vectors.map(&test);
    if v128_any_true(v128_or(v128_or(a, b), v128_or(c, d))) { bits(vectors, test) } else { 0 }
}

#[inline]
fn equal(vector: v128, byte: u8) -> v128 {
    u8x16_eq(vector, u8x16_splat(byte))
}
