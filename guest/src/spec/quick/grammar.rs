//! Whether tokens follow each other as in JSON, for all of a block at once.
//!
//! It takes three things: what stands directly behind what, spaces aside; whether a place lies in
//! an object or in an array; and which strings are keys. Only brackets are looked at one by one.

use super::strings::{self, parity};

/// How deep arrays and objects are followed: one bit of a word for each.
const LEVELS: u32 = 64;

/// What a block holds outside strings, and its strings.
pub(super) struct Found {
    pub(super) blanks: u64,
    /// And now and then a byte that is no token.
    pub(super) brackets: u64,
    pub(super) commas: u64,
    pub(super) colons: u64,
    pub(super) strings: strings::Found,
}

pub(super) struct Checked {
    /// The brackets that open something; all others close.
    pub(super) opens: u64,
    /// Where numbers and literals start, or what is none.
    pub(super) scalars: u64,
    pub(super) is_wrong: bool,
}

/// What the blocks up to now have left open.
pub(super) struct Grammar {
    /// Whether the open containers are objects, the innermost in the lowest bit.
    objects: u64,
    depth: u32,
    /// One if the block ends within a number or a literal.
    in_scalar: u64,
    /// One if the block ends within a key.
    in_key: u64,
    behind_comma: Behind,
    behind_colon: Behind,
    behind_open: Behind,
    behind_key: Behind,
}

impl Grammar {
    pub(super) fn new() -> Self {
        Self {
            objects: 0,
            depth: 0,
            in_scalar: 0,
            in_key: 0,
            behind_comma: Behind(0),
            behind_colon: Behind(0),
            // A document starts as an array does.
            behind_open: Behind(1),
            behind_key: Behind(0),
        }
    }

    /// Checks the block that the text starts with.
    #[inline]
    pub(super) fn check(&mut self, text: &[u8], found: &Found) -> Checked {
        let Found { blanks, brackets, commas, colons, ref strings } = *found;
        let Brackets { opens, in_object, is_wrong } = self.brackets(text, brackets);
        let others = strings.inside | strings.closing | brackets | commas | colons | blanks;
        let scalars = !others & !(!others << 1 | self.in_scalar);
        self.in_scalar = !others >> 63;

        let behind_comma = self.behind_comma.find(commas, blanks);
        let behind_colon = self.behind_colon.find(colons, blanks);
        let behind_open = self.behind_open.find(opens, blanks);
        let keys = strings.opening & in_object & !behind_colon;
        // A carry runs through the string, to the quote that closes it.
        let (sum, is_open) = strings.inside.overflowing_add(keys | self.in_key);
        self.in_key = u64::from(is_open);
        let behind_key = self.behind_key.find(sum & !strings.inside, blanks);

        let values = scalars | opens;
        let closes = brackets & !opens;
        let wrong = (strings.opening | values) & !(behind_comma | behind_colon | behind_open)
            | (commas | colons | closes) & (behind_comma | behind_colon)
            | (commas | colons) & behind_open
            | values & in_object & !behind_colon
            | colons ^ behind_key;
        Checked { opens, scalars, is_wrong: is_wrong || strings.is_wrong || wrong != 0 }
    }

    #[inline]
    fn brackets(&mut self, text: &[u8], brackets: u64) -> Brackets {
        let mut is_wrong = false;
        let (mut opens, mut changes) = (0, 0);
        let before = if self.objects & 1 == 1 { u64::MAX } else { 0 };
        let mut left = brackets;
        while left != 0 {
            let bracket = left & left.wrapping_neg();
            let was_object = self.objects & 1;
            match text.get(left.trailing_zeros() as usize) {
                Some(open @ (b'{' | b'[')) => {
                    opens |= bracket;
                    is_wrong |= self.depth == LEVELS;
                    self.depth = self.depth.wrapping_add(1);
                    self.objects = self.objects << 1 | u64::from(*open == b'{');
                }
                Some(close @ (b'}' | b']')) => {
                    is_wrong |= self.depth == 0 || u64::from(*close == b'}') != was_object;
                    self.depth = self.depth.wrapping_sub(1);
                    self.objects >>= 1;
                }
                _ => is_wrong = true,
            }
            if self.objects & 1 != was_object {
                changes |= bracket;
            }
            left ^= bracket;
        }
        Brackets { opens, in_object: parity(changes << 1) ^ before, is_wrong }
    }
}

struct Brackets {
    opens: u64,
    /// The places that lie in an object, and in no array therein.
    in_object: u64,
    is_wrong: bool,
}

/// Finds what stands behind tokens. One if the block ended before that was seen.
struct Behind(u64);

impl Behind {
    /// The places behind the tokens that end in some places, and behind the blanks that follow.
    #[inline]
    fn find(&mut self, ends: u64, blanks: u64) -> u64 {
        let next = ends << 1 | self.0;
        // A carry runs through the blanks.
        let (sum, runs_on) = blanks.overflowing_add(next & blanks);
        self.0 = ends >> 63 | u64::from(runs_on);
        (next | sum) & !blanks
    }
}
