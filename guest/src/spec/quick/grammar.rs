//! Whether tokens follow each other as in JSON, for all of a block at once.
//!
//! It takes three things: what stands directly behind what, spaces aside; whether a place lies in
//! an object or in an array; and which strings are keys. Only brackets are looked at one by one.

use super::block::{Block, SIZE};
use super::strings;

/// Outside of all containers. It looks like an array, within which a document is a value.
const TOP: u64 = 0b10;

/// What a block holds outside strings, and its strings.
pub(super) struct Found {
    pub(super) blanks: u64,
    pub(super) opens: u64,
    pub(super) closes: u64,
    pub(super) commas: u64,
    pub(super) colons: u64,
    /// Where numbers and literals start, or what is neither.
    pub(super) scalars: u64,
    pub(super) strings: strings::Found,
}

/// What the blocks up to now have left open.
pub(super) struct Grammar {
    /// Whether the open containers are objects, the innermost in the lowest bit. The highest bit
    /// that is set stands above the outermost.
    containers: u64,
    /// The least value of that within the block: where the fewest were open.
    fewest: u64,
    /// One if the block ends within a key.
    in_key: u64,
    behind_comma: Behind,
    behind_colon: Behind,
    behind_open: Behind,
    behind_key: Behind,
    /// Not zero if something is wrong.
    wrong: u64,
}

impl Grammar {
    pub(super) fn new() -> Self {
        Self {
            containers: TOP,
            fewest: TOP,
            in_key: 0,
            behind_comma: Behind(0),
            behind_colon: Behind(0),
            // A document starts as an array does.
            behind_open: Behind(1),
            behind_key: Behind(0),
            wrong: 0,
        }
    }

    /// How many containers are open behind the block, and the outside as one more.
    pub(super) fn depth(&self) -> u32 {
        self.containers.checked_ilog2().unwrap_or(0)
    }

    /// Whether somewhere in the block the depth is no more than this.
    pub(super) fn comes_down_to(&self, depth: u32) -> bool {
        self.fewest.wrapping_shr(depth) < 2
    }

    pub(super) fn is_wrong(&self) -> bool {
        self.wrong != 0
    }

    /// Checks a block.
    #[inline]
    pub(super) fn check(&mut self, block: &Block, found: &Found) {
        // Mostly there are no blanks, and all the work for them falls away.
        if found.blanks == 0 {
            self.sequence(block, found, 0);
        } else {
            self.sequence(block, found, found.blanks);
        }
    }

    #[inline(always)]
    fn sequence(&mut self, block: &Block, found: &Found, blanks: u64) {
        let Found { opens, closes, commas, colons, scalars, ref strings, .. } = *found;
        let behind_comma = self.behind_comma.find(commas, blanks);
        let behind_colon = self.behind_colon.find(colons, blanks);
        let behind_open = self.behind_open.find(opens, blanks);
        // Where a value starts, and where one has to, or the end of what is empty.
        let others = scalars | opens;
        let places = behind_comma | behind_colon | behind_open;
        // What does not wait is stored at once: there are few registers.
        self.wrong |= (others | strings.opening) ^ places ^ (behind_open & closes) | strings.wrong;

        let members = self.in_objects(block, opens, closes) & (behind_comma | behind_open);
        // A carry runs through the string, to the quote that closes it.
        let (sum, is_open) = strings.inside.overflowing_add(strings.opening & members | self.in_key);
        self.in_key = u64::from(is_open);
        let behind_key = self.behind_key.find(sum & !strings.inside, blanks);
        self.wrong |= members & others | colons ^ behind_key;
    }

    /// Follows the brackets of a block. The places that lie in an object, and in no array therein.
    #[inline(always)]
    fn in_objects(&mut self, block: &Block, opens: u64, closes: u64) -> u64 {
        let brackets = opens | closes;
        let mut containers = self.containers;
        let mut fewest = containers;
        let mut wrong = 0;
        // Where stretches within an object start: behind a bracket, or with the block.
        let mut starts = containers & 1;
        let mut left = brackets;
        while left != 0 {
            let bracket = left & left.wrapping_neg();
            let byte = block.get(left.trailing_zeros() as usize % SIZE).map_or(0, |byte| u64::from(*byte));
            left ^= bracket;
            // In which `{` and `}` differ from `[` and `]`.
            let is_object = byte >> 5 & 1;
            if opens & bracket == 0 {
                wrong |= containers ^ is_object;
                containers >>= 1;
                fewest = fewest.min(containers);
            } else {
                // With one more the mark above the outermost would be lost.
                wrong |= containers >> 63;
                containers = containers << 1 | is_object;
            }
            starts |= (containers & 1).wrapping_neg() & bracket << 1;
        }
        self.containers = containers;
        self.fewest = fewest;
        self.wrong |= wrong & 1 | u64::from(fewest < TOP);
        // A carry runs from there through what is not a bracket; a bracket lies in what is around
        // it.
        let rest = !brackets;
        rest.wrapping_add(starts & rest) ^ rest | starts
    }
}

/// Finds what stands behind tokens. One if the block ended before that was seen.
struct Behind(u64);

impl Behind {
    /// The places behind the tokens that end in some places, and behind the blanks that follow.
    #[inline(always)]
    fn find(&mut self, ends: u64, blanks: u64) -> u64 {
        let next = ends << 1 | self.0;
        // A carry runs through the blanks.
        let (sum, runs_on) = blanks.overflowing_add(next & blanks);
        self.0 = ends >> 63 | u64::from(runs_on);
        (next | sum) & !blanks
    }
}
