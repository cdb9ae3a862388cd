//! With the vectors of WebAssembly, of 16 bytes each.

use core::arch::wasm32::{
    i8x16_bitmask, i8x16_gt, i8x16_splat, u8x16_eq, u8x16_le, u8x16_lt, u8x16_min, u8x16_splat, u64x2, v128,
    v128_any_true, v128_or,
};

use super::{Block, Masks};

#[inline]
pub(in crate::spec::quick) fn masks(block: &Block) -> Masks {
    let vectors = load(block);
    let [a, b, c, d] = vectors;
    let (line_controls, has_other_controls) =
        if is_any_below(u8x16_min(u8x16_min(a, b), u8x16_min(c, d)), b' ') { controls(vectors) } else { (0, false) };
    Masks {
        quotes: bits(vectors, |vector| equal(vector, b'"')),
        backslashes: rare(vectors, |vector| equal(vector, b'\\')),
        brackets: bits(vectors, brackets),
        commas: bits(vectors, |vector| equal(vector, b',')),
        colons: bits(vectors, |vector| equal(vector, b':')),
        blanks: bits(vectors, |vector| u8x16_le(vector, u8x16_splat(b' '))),
        line_controls,
        has_other_controls,
        is_ascii: i8x16_bitmask(v128_or(v128_or(a, b), v128_or(c, d))) == 0,
    }
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

#[inline]
fn is_any_below(vector: v128, limit: u8) -> bool {
    v128_any_true(u8x16_lt(vector, u8x16_splat(limit)))
}

/// They are among the last ten of ASCII, but for a bit that `[` and `]` lack.
#[inline]
fn brackets(vector: v128) -> v128 {
    i8x16_gt(v128_or(vector, u8x16_splat(0x20)), i8x16_splat(b'z' as i8))
}

fn controls(vectors: [v128; 4]) -> (u64, bool) {
    let lines = |vector| v128_or(equal(vector, b'\n'), v128_or(equal(vector, b'\t'), equal(vector, b'\r')));
    let line_controls = bits(vectors, lines);
    let all = bits(vectors, |vector| u8x16_lt(vector, u8x16_splat(b' ')));
    (line_controls, all != line_controls)
}
