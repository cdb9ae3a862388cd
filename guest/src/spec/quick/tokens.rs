//! The tokens of a document: where its brackets, commas, colons, strings, numbers and literals
//! start, found 64 bytes at a time.
//!
//! A block's strings are found without a branch, from the parity of the quotes before each byte;
//! their inside is checked here, and what they say is nobody's business.

use super::block::{self, Block, Masks};

pub(super) struct Tokens<'a> {
    spec: &'a [u8],
    blocks: core::slice::Iter<'a, Block>,
    /// What is left behind the last whole block, filled up with spaces.
    last: Option<Block>,
    /// Where the present block starts, and the next one.
    base: usize,
    next_base: usize,
    /// The tokens of the present block that are still to come.
    pending: u64,
    /// All bits set if the present block ends within a string.
    in_string: u64,
    /// One if the present block ends with a backslash that escapes what follows.
    escaped: u64,
    /// One if the present block ends within a number or a literal.
    in_scalar: u64,
    is_wrong: bool,
    is_ascii: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(spec: &'a [u8]) -> Self {
        let (blocks, rest) = spec.as_chunks();
        let mut last = [b' '; block::SIZE];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        Self {
            spec,
            blocks: blocks.iter(),
            last: Some(last),
            base: 0,
            next_base: 0,
            pending: 0,
            in_string: 0,
            escaped: 0,
            in_scalar: 0,
            is_wrong: false,
            is_ascii: true,
        }
    }

    /// Where the next token starts; `None` behind the last one.
    #[inline]
    pub(super) fn next(&mut self) -> Option<usize> {
        while self.pending == 0 {
            self.pending = self.next_block()?;
        }
        let at = self.base | self.pending.trailing_zeros() as usize;
        self.pending &= self.pending.wrapping_sub(1);
        Some(at)
    }

    /// Goes through tokens until told to stop, or to the last one. Faster than one by one: what is
    /// pending stays in a register.
    #[inline]
    pub(super) fn walk<T>(&mut self, mut visit: impl FnMut(&[u8], usize) -> Option<T>) -> Option<T> {
        let mut pending = self.pending;
        loop {
            while pending == 0 {
                pending = self.next_block()?;
            }
            let at = self.base | pending.trailing_zeros() as usize;
            pending &= pending.wrapping_sub(1);
            if let Some(result) = visit(self.spec, at) {
                self.pending = pending;
                return Some(result);
            }
        }
    }

    /// The byte that a token starts with.
    #[inline]
    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.spec.get(at).copied()
    }

    /// The document from a token on.
    pub(super) fn behind(&self, at: usize) -> &'a [u8] {
        self.spec.get(at..).unwrap_or_default()
    }

    /// Whether the document ends here, and all its text is sound.
    pub(super) fn finish(mut self) -> Option<()> {
        let ends = self.next().is_none() && self.in_string == 0 && !self.is_wrong;
        (ends && (self.is_ascii || core::str::from_utf8(self.spec).is_ok())).then_some(())
    }

    /// Steps into the next block; its tokens, a bit for each.
    #[inline(never)]
    fn next_block(&mut self) -> Option<u64> {
        let masks = match self.blocks.next() {
            Some(block) => block::masks(block),
            None => block::masks(&self.last.take()?),
        };
        self.base = self.next_base;
        self.next_base = self.base.wrapping_add(block::SIZE);
        self.is_ascii &= masks.is_ascii;
        Some(self.tokens(&masks))
    }

    #[inline]
    fn tokens(&mut self, masks: &Masks) -> u64 {
        let escaped = if masks.backslashes | self.escaped == 0 { 0 } else { self.escapes(masks.backslashes) };
        let quotes = masks.quotes & !escaped;
        // From a quote that opens to the byte before the one that closes.
        let in_string = parity(quotes) ^ self.in_string;
        self.in_string = if in_string >> 63 == 1 { u64::MAX } else { 0 };
        // A control character is wrong in a string, and all but three of them anywhere.
        self.is_wrong |= masks.has_other_controls || masks.line_controls & in_string != 0;
        let outside = !(in_string | quotes);
        let scalars = outside & !(masks.operators | masks.blanks);
        let scalar_starts = scalars & !(scalars << 1 | self.in_scalar);
        self.in_scalar = scalars >> 63;
        masks.operators & outside | quotes & in_string | scalar_starts
    }

    /// Checks the escapes that start in a block; which bytes of it stand behind a backslash.
    ///
    /// A backslash outside strings is a token that nobody takes, so it does not matter what is
    /// made of it here.
    fn escapes(&mut self, backslashes: u64) -> u64 {
        let mut escaped = self.escaped;
        self.escaped = 0;
        let mut left = backslashes & !escaped;
        while left != 0 {
            let backslash = left & left.wrapping_neg();
            let at = self.base | left.trailing_zeros() as usize;
            self.is_wrong |= !is_escape(self.behind(at));
            let behind = backslash << 1;
            escaped |= behind;
            self.escaped = backslash >> 63;
            left &= !(backslash | behind);
        }
        escaped
    }
}

/// For each bit, whether an odd number of bits up to and with it are set.
#[inline]
fn parity(mut bits: u64) -> u64 {
    for distance in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << distance;
    }
    bits
}

/// Whether a text starts with an escape that is no surrogate, paired or not.
fn is_escape(text: &[u8]) -> bool {
    match text {
        [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => true,
        [b'\\', b'u', b'd' | b'D', b'0'..=b'7', rest @ ..]
        | [b'\\', b'u', b'0'..=b'9' | b'a'..=b'c' | b'A'..=b'C' | b'e' | b'E' | b'f' | b'F', _, rest @ ..] => {
            text.get(3).is_some_and(u8::is_ascii_hexdigit)
                && rest.first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        }
        _ => false,
    }
}
