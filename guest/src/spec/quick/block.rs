//! What kinds of bytes stand where in a block of 64 bytes.

#[cfg(not(target_feature = "simd128"))]
mod portable;
#[cfg(target_feature = "simd128")]
mod simd;

#[cfg(not(target_feature = "simd128"))]
pub(super) use self::portable::masks;
#[cfg(target_feature = "simd128")]
pub(super) use self::simd::masks;

pub(super) const SIZE: usize = 64;
pub(super) type Block = [u8; SIZE];

/// A bit for each byte of a block, the lowest for the first one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Masks {
    pub(super) quotes: u64,
    pub(super) backslashes: u64,
    /// `{` and `[`.
    pub(super) opens: u64,
    /// `}` and `]`.
    pub(super) closes: u64,
    pub(super) commas: u64,
    pub(super) colons: u64,
    /// Spaces and control characters.
    pub(super) blanks: u64,
    /// Tabs and line breaks.
    pub(super) line_controls: u64,
    /// All other control characters.
    pub(super) other_controls: u64,
    /// Bytes that are not ASCII.
    pub(super) beyond_ascii: u64,
}
