//! The tokens of a document: where its brackets, commas, colons, strings, numbers and literals
//! start, found 64 bytes at a time, and all checked to make JSON before they are used.

use super::block::{self, Block, Masks};
use super::grammar::{Found, Grammar};
use super::scalar::is_scalar;
use super::strings::Strings;

pub(super) struct Tokens<'a> {
    spec: &'a [u8],
    blocks: core::slice::Iter<'a, Block>,
    /// The rest behind the last whole block, filled up with spaces.
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
    /// One if the present block ends within a number or a literal.
    in_scalar: u64,
    grammar: Grammar,
    /// Not zero if there was anything that is not ASCII.
    beyond_ascii: u64,
    is_wrong: bool,
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
            in_scalar: 0,
            grammar: Grammar::new(),
            beyond_ascii: 0,
            is_wrong: false,
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

    /// Skips the rest of an array or object. What is in it has been checked, so looking for the
    /// bracket that closes it is enough.
    fn skip_container(&mut self) -> Option<()> {
        let mut depth = 1;
        if self.skip_in_block(&mut depth) {
            return Some(());
        }
        let outside = self.grammar.depth().wrapping_sub(depth);
        loop {
            self.next_block()?;
            if self.grammar.comes_down_to(outside) {
                let behind = self.grammar.depth().wrapping_sub(outside);
                let mut before = behind.wrapping_add(self.closes.count_ones()).wrapping_sub(self.opens.count_ones());
                if self.skip_in_block(&mut before) {
                    return Some(());
                }
            }
        }
    }

    /// Skips what is left of the block, or up to the bracket that closes as many containers.
    fn skip_in_block(&mut self, depth: &mut u32) -> bool {
        let opens = self.opens & self.pending;
        let mut closes = self.closes & self.pending;
        let mut passed = 0;
        while closes != 0 {
            // All up to the next one that closes.
            let now = closes ^ closes.wrapping_sub(1);
            let opened = (opens & now & !passed).count_ones();
            *depth = depth.wrapping_add(opened).wrapping_sub(1);
            passed |= now;
            if *depth == 0 {
                self.pending &= !passed;
                return true;
            }
            closes &= !passed;
        }
        *depth = depth.wrapping_add((opens & !passed).count_ones());
        self.pending = 0;
        false
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
        // If something is wrong there are no more tokens either.
        let ends = self.next().is_none() && !self.is_wrong && !self.strings.is_open();
        (ends && (self.beyond_ascii == 0 || core::str::from_utf8(self.spec).is_ok())).then_some(())
    }

    /// Steps into the next block. `None` behind the last one, or if something is wrong: the rest is
    /// not needed.
    #[inline(never)]
    fn next_block(&mut self) -> Option<()> {
        let last;
        let block = match self.blocks.next() {
            Some(block) => block,
            None => {
                last = self.last.take()?;
                &last
            }
        };
        self.base = self.next_base;
        self.next_base = self.base.wrapping_add(block::SIZE);
        let masks = block::masks(block);
        self.beyond_ascii |= masks.beyond_ascii;
        let scalars = self.find(block, &masks);
        self.is_wrong |= self.grammar.is_wrong() || !all(scalars, |at| is_scalar(self.behind(self.base | at)));
        (!self.is_wrong).then_some(())
    }

    /// Finds the tokens of a block, and where numbers and literals start.
    #[inline]
    fn find(&mut self, block: &Block, masks: &Masks) -> u64 {
        let (spec, base) = (self.spec, self.base);
        let strings = self.strings.find(masks, |at| spec.get(base | at..).unwrap_or_default());
        let text = strings.inside | strings.closing;
        let [opens, closes, commas, colons, blanks] =
            [masks.opens, masks.closes, masks.commas, masks.colons, masks.blanks].map(|mask| mask & !text);
        let tokens = opens | closes | commas | colons;
        let others = text | tokens | blanks;
        let scalars = !(others | !others << 1 | self.in_scalar);
        self.in_scalar = !others >> 63;
        self.opens = opens;
        self.closes = closes;
        self.pending = tokens | strings.opening | scalars;
        self.grammar.check(block, &Found { blanks, opens, closes, commas, colons, scalars, strings });
        scalars
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
