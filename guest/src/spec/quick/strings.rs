//! Where strings are: between the quotes that no backslash escapes. What they hold is checked here,
//! and what they say is nobody's business.

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
    pub(super) is_wrong: bool,
}

impl Strings {
    /// The strings of the block that the text starts with.
    #[inline]
    pub(super) fn find(&mut self, text: &[u8], masks: &Masks) -> Found {
        let mut is_wrong = false;
        let escaped = if masks.backslashes | self.escaped == 0 {
            0
        } else {
            self.escapes(text, masks.backslashes, &mut is_wrong)
        };
        let quotes = masks.quotes & !escaped;
        let inside = parity(quotes) ^ self.inside;
        self.inside = if inside >> 63 == 1 { u64::MAX } else { 0 };
        // A control character is wrong in a string, and all but three of them anywhere.
        is_wrong |= masks.has_other_controls || masks.line_controls & inside != 0;
        Found { opening: quotes & inside, closing: quotes & !inside, inside, is_wrong }
    }

    /// Whether the last block ended within a string.
    pub(super) fn is_open(&self) -> bool {
        self.inside != 0
    }

    /// Checks the escapes that start in a block; which bytes of it stand behind a backslash.
    ///
    /// A backslash outside strings is a token that nobody takes, so it does not matter what is
    /// made of it here.
    fn escapes(&mut self, text: &[u8], backslashes: u64, is_wrong: &mut bool) -> u64 {
        let mut escaped = self.escaped;
        self.escaped = 0;
        let mut left = backslashes & !escaped;
        while left != 0 {
            let backslash = left & left.wrapping_neg();
            let at = left.trailing_zeros() as usize;
            *is_wrong |= !is_escape(text.get(at..).unwrap_or_default());
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
pub(super) fn parity(mut bits: u64) -> u64 {
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
