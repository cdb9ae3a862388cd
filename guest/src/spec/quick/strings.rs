//! Where strings are: between the quotes that no backslash escapes. What they hold is checked here,
//! and what they say does not matter.

use super::block::Masks;

#[derive(Default)]
pub(super) struct Strings {
    /// All bits set if the present block ends within a string.
    inside: u64,
    /// One if the present block ends with a backslash that escapes what follows.
    escaped: u64,
}

/// The strings of a block.
pub(super) struct Found {
    /// The quotes that open one.
    pub(super) opening: u64,
    /// The quotes that close one.
    pub(super) closing: u64,
    /// From a quote that opens to the byte before the one that closes.
    pub(super) inside: u64,
    /// Not zero if something is wrong.
    pub(super) wrong: u64,
}

impl Strings {
    /// The strings of a block; `text` is the document from a place in it on.
    #[inline]
    pub(super) fn find<'a>(&mut self, masks: &Masks, text: impl Fn(usize) -> &'a [u8]) -> Found {
        let (escaped, wrong) =
            if masks.backslashes | self.escaped == 0 { (0, 0) } else { self.escapes(masks.backslashes, text) };
        let quotes = masks.quotes & !escaped;
        let inside = parity(quotes) ^ self.inside;
        self.inside = (inside >> 63).wrapping_neg();
        // A control character is wrong in a string, and all but three of them anywhere.
        let wrong = wrong | masks.other_controls | masks.line_controls & inside;
        Found { opening: quotes & inside, closing: quotes & !inside, inside, wrong }
    }

    /// Whether the last block ended within a string.
    pub(super) fn is_open(&self) -> bool {
        self.inside != 0
    }

    /// Checks the escapes that start in a block. Which bytes of it stand behind a backslash, and
    /// the backslashes that start no escape.
    ///
    /// A backslash outside strings is a token that no rule accepts, so it does not matter what is
    /// made of it here.
    #[inline]
    fn escapes<'a>(&mut self, backslashes: u64, text: impl Fn(usize) -> &'a [u8]) -> (u64, u64) {
        let mut escaped = self.escaped;
        self.escaped = 0;
        let mut wrong = 0;
        let mut left = backslashes & !escaped;
        while left != 0 {
            let backslash = left & left.wrapping_neg();
            if !is_escape(text(left.trailing_zeros() as usize)) {
                wrong |= backslash;
            }
            let behind = backslash << 1;
            escaped |= behind;
            self.escaped = backslash >> 63;
            left &= !(backslash | behind);
        }
        (escaped, wrong)
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

/// Whether a text starts with an escape that is not a surrogate, paired or not.
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
