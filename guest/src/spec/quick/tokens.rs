//! The tokens of a document: where its brackets, commas, colons, strings, numbers and literals
//! start, found 64 bytes at a time, and all checked to make JSON before anybody sees them.

use super::block::{self, Block, Masks};
use super::grammar::{Found, Grammar};
use super::scalar::is_scalar;
use super::strings::Strings;

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
    /// The brackets of the present block.
    opens: u64,
    closes: u64,
    strings: Strings,
    grammar: Grammar,
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
            opens: 0,
            closes: 0,
            strings: Strings::default(),
            grammar: Grammar::new(),
            is_wrong: false,
            is_ascii: true,
        }
    }

    /// Where the next token starts; `None` behind the last one.
    pub(super) fn next(&mut self) -> Option<usize> {
        while self.pending == 0 {
            self.next_block()?;
        }
        let at = self.base | self.pending.trailing_zeros() as usize;
        self.pending &= self.pending.wrapping_sub(1);
        Some(at)
    }

    /// Skips the value that starts with a token.
    pub(super) fn skip(&mut self, start: usize) -> Option<()> {
        if matches!(self.byte(start)?, b'{' | b'[') { self.skip_container() } else { Some(()) }
    }

    /// Skips the rest of an array or object. What is in it has been checked, so counting its
    /// brackets is enough.
    fn skip_container(&mut self) -> Option<()> {
        let mut depth = 1_u32;
        loop {
            let opens = self.opens & self.pending;
            let mut closes = self.closes & self.pending;
            if closes.count_ones() < depth {
                depth = depth.wrapping_add(opens.count_ones()).wrapping_sub(closes.count_ones());
                self.next_block()?;
                continue;
            }
            while closes != 0 {
                // All up to the next one that closes.
                let passed = closes ^ closes.wrapping_sub(1);
                let outer = depth.wrapping_sub(1);
                if (opens & self.pending & passed).count_ones() == 0 && outer == 0 {
                    self.pending &= !passed;
                    return Some(());
                }
                depth = outer.wrapping_add((opens & self.pending & passed).count_ones());
                self.pending &= !passed;
                closes &= !passed;
            }
            depth = depth.wrapping_add((opens & self.pending).count_ones());
            self.next_block()?;
        }
    }

    /// The byte that a token starts with.
    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.spec.get(at).copied()
    }

    /// The document from a token on.
    pub(super) fn behind(&self, at: usize) -> &'a [u8] {
        self.spec.get(at..).unwrap_or_default()
    }

    /// Whether the document ends here, and all its text is sound.
    pub(super) fn finish(mut self) -> Option<()> {
        let ends = self.next().is_none() && !self.is_wrong && !self.strings.is_open();
        (ends && (self.is_ascii || core::str::from_utf8(self.spec).is_ok())).then_some(())
    }

    /// Steps into the next block.
    #[inline(never)]
    fn next_block(&mut self) -> Option<()> {
        let masks = match self.blocks.next() {
            Some(block) => block::masks(block),
            None => block::masks(&self.last.take()?),
        };
        self.base = self.next_base;
        self.next_base = self.base.wrapping_add(block::SIZE);
        self.is_ascii &= masks.is_ascii;
        self.find(&masks);
        // Nobody needs to see the rest.
        (!self.is_wrong).then_some(())
    }

    #[inline]
    fn find(&mut self, masks: &Masks) {
        let rest = self.spec.get(self.base..).unwrap_or_default();
        let strings = self.strings.find(rest, masks);
        let outside = !(strings.inside | strings.closing);
        let found = Found {
            blanks: masks.blanks & outside,
            brackets: masks.brackets & outside,
            commas: masks.commas & outside,
            colons: masks.colons & outside,
            strings,
        };
        let checked = self.grammar.check(rest, &found);
        self.is_wrong |= checked.is_wrong || !all(checked.scalars, |at| is_scalar(rest.get(at..).unwrap_or_default()));
        self.opens = checked.opens;
        self.closes = found.brackets & !checked.opens;
        self.pending = found.brackets | found.commas | found.colons | found.strings.opening | checked.scalars;
    }
}

/// Whether a test holds for the places of all bits.
#[inline]
fn all(mut bits: u64, mut test: impl FnMut(usize) -> bool) -> bool {
    while bits != 0 {
        if !test(bits.trailing_zeros() as usize) {
            return false;
        }
        bits &= bits.wrapping_sub(1);
    }
    true
}
