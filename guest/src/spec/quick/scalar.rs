//! Numbers and literals.

/// Whether a text starts with a number or a literal, of any size, and goes on as it may behind it.
#[inline]
pub(super) fn is_scalar(text: &[u8]) -> bool {
    match text.first_chunk() {
        // Nearly all are short.
        Some(start) => is_short_scalar(*start) || is_any_scalar(text),
        None => is_any_scalar(text),
    }
}

/// Whether a text starts with an integer of few digits and a comma or a closing bracket, or with
/// `true` or `null`, and goes on as it may.
#[inline]
fn is_short_scalar(start: [u8; 8]) -> bool {
    let [first, .., fifth, _, _, _] = start;
    let word = u64::from_le_bytes(start);
    let digits = digits(word);
    if digits == 0 {
        let literal = word as u32;
        return (literal == u32::from_le_bytes(*b"true") || literal == u32::from_le_bytes(*b"null")) && ends(fifth);
    }
    // Behind eight digits there may be more.
    let behind = word.checked_shr(digits * 8).unwrap_or(0);
    (digits == 1 || first != b'0') && ends(behind as u8)
}

/// How many digits a word starts with.
#[inline]
fn digits(word: u64) -> u32 {
    // 0x76 + 10 = 0x80: the highest bit of each byte that is not a digit gets set.
    let offsets = word ^ 0x3030_3030_3030_3030;
    let low = (offsets & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676;
    ((low | offsets) & 0x8080_8080_8080_8080).trailing_zeros() / 8
}

/// Whether a number or a literal mostly ends before this byte.
#[inline]
fn ends(byte: u8) -> bool {
    matches!(byte, b',' | b'}' | b']')
}

#[cold]
fn is_any_scalar(text: &[u8]) -> bool {
    let behind = match text {
        [b't', b'r', b'u', b'e', behind @ ..]
        | [b'n', b'u', b'l', b'l', behind @ ..]
        | [b'f', b'a', b'l', b's', b'e', behind @ ..] => Some(behind),
        _ => skip_number(text),
    };
    behind.is_some_and(may_follow)
}

/// `true` or `false` at the start of a text.
pub(super) fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        [b't', b'r', b'u', b'e', behind @ ..] if may_follow(behind) => Some(true),
        [b'f', b'a', b'l', b's', b'e', behind @ ..] if may_follow(behind) => Some(false),
        _ => None,
    }
}

/// A `uint32` in plain digits at the start of a text.
pub(super) fn plain_number(text: &[u8]) -> Option<u32> {
    let behind = skip_integer(text)?;
    let digits = text.get(..text.len().checked_sub(behind.len())?)?;
    let add = |number: u32, digit: &u8| number.checked_mul(10)?.checked_add(u32::from(digit.wrapping_sub(b'0')));
    may_follow(behind).then_some(())?;
    digits.iter().try_fold(0, add)
}

/// Whether a number or a literal ends before this text. What else may not follow it is a token, and
/// left to the reader of that token.
fn may_follow(text: &[u8]) -> bool {
    matches!(text, [] | [b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r', ..])
}

fn skip_number(text: &[u8]) -> Option<&[u8]> {
    let mut text = skip_integer(text.strip_prefix(b"-").unwrap_or(text))?;
    if let [b'.', fraction @ ..] = text {
        text = skip_digits(fraction)?;
    }
    if let [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] = text {
        text = skip_digits(exponent)?;
    }
    Some(text)
}

/// Without zeros in front.
fn skip_integer(text: &[u8]) -> Option<&[u8]> {
    if let [b'0', behind @ ..] = text { Some(behind) } else { skip_digits(text) }
}

/// Skips one digit or more.
fn skip_digits(text: &[u8]) -> Option<&[u8]> {
    let (_, mut behind) = text.split_first().filter(|(first, _)| first.is_ascii_digit())?;
    while let [b'0'..=b'9', rest @ ..] = behind {
        behind = rest;
    }
    Some(behind)
}
