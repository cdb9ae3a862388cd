//! Values that nobody wants: whatever they are, they have to be JSON.

use super::scalar::is_scalar;
use super::tokens::Tokens;

/// How many levels below a skipped array or object are followed: one bit of a word for each.
const LEVELS: u32 = 64;

/// What a token is, by its first byte.
mod class {
    pub(super) const STRING: u8 = 0;
    /// Numbers and literals; and what is no token at all, which is found out when it is read.
    pub(super) const SCALAR: u8 = 1;
    pub(super) const OPEN_OBJECT: u8 = 2;
    pub(super) const OPEN_ARRAY: u8 = 3;
    pub(super) const CLOSE_OBJECT: u8 = 4;
    pub(super) const CLOSE_ARRAY: u8 = 5;
    pub(super) const COMMA: u8 = 6;
    pub(super) const COLON: u8 = 7;
}

/// What has been read of the innermost array or object.
mod state {
    pub(super) const OBJECT: u8 = 0;
    pub(super) const KEY: u8 = 1;
    pub(super) const MEMBER: u8 = 2;
    pub(super) const MEMBER_COMMA: u8 = 3;
    pub(super) const COLON: u8 = 4;
    pub(super) const ARRAY: u8 = 5;
    pub(super) const ELEMENT: u8 = 6;
    pub(super) const ELEMENT_COMMA: u8 = 7;
}

/// What to do about a token: a new state, and one of these if there is more to do.
mod action {
    pub(super) const CHECK_SCALAR: u8 = 1 << 3;
    pub(super) const OPEN: u8 = 2 << 3;
    pub(super) const CLOSE: u8 = 3 << 3;
    pub(super) const STOP: u8 = 4 << 3;
    pub(super) const ANY: u8 = 7 << 3;
}

#[expect(clippy::indexing_slicing, reason = "the compiler does it")]
const CLASSES: [u8; 256] = {
    let mut classes = [class::SCALAR; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = class_of(byte as u8);
        byte += 1;
    }
    classes
};

/// By state and class.
#[expect(clippy::indexing_slicing, reason = "the compiler does it")]
const STEPS: [u8; 64] = {
    let mut steps = [0; 64];
    let mut index = 0;
    while index < steps.len() {
        steps[index] = step(index as u8 >> 3, index as u8 & 7);
        index += 1;
    }
    steps
};

const fn class_of(byte: u8) -> u8 {
    match byte {
        b'"' => class::STRING,
        b'{' => class::OPEN_OBJECT,
        b'[' => class::OPEN_ARRAY,
        b'}' => class::CLOSE_OBJECT,
        b']' => class::CLOSE_ARRAY,
        b',' => class::COMMA,
        b':' => class::COLON,
        _ => class::SCALAR,
    }
}

const fn step(state: u8, class: u8) -> u8 {
    match (state, class) {
        (state::OBJECT | state::MEMBER_COMMA, class::STRING) => state::KEY,
        (state::KEY, class::COLON) => state::COLON,
        (state::COLON, class::STRING) => state::MEMBER,
        (state::COLON, class::SCALAR) => state::MEMBER | action::CHECK_SCALAR,
        (state::MEMBER, class::COMMA) => state::MEMBER_COMMA,
        (state::ARRAY | state::ELEMENT_COMMA, class::STRING) => state::ELEMENT,
        (state::ARRAY | state::ELEMENT_COMMA, class::SCALAR) => state::ELEMENT | action::CHECK_SCALAR,
        (state::ELEMENT, class::COMMA) => state::ELEMENT_COMMA,
        (state::COLON | state::ARRAY | state::ELEMENT_COMMA, class::OPEN_OBJECT) => state::OBJECT | action::OPEN,
        (state::COLON | state::ARRAY | state::ELEMENT_COMMA, class::OPEN_ARRAY) => state::ARRAY | action::OPEN,
        (state::OBJECT | state::MEMBER, class::CLOSE_OBJECT) => action::CLOSE,
        (state::ARRAY | state::ELEMENT, class::CLOSE_ARRAY) => action::CLOSE,
        _ => action::STOP,
    }
}

/// Skips a value that starts with a token. No answer if it is none, or nested deep.
#[inline]
pub(super) fn value(tokens: &mut Tokens<'_>, start: usize) -> Option<()> {
    match class_of(tokens.byte(start)?) {
        class::STRING => Some(()),
        class::SCALAR => is_scalar(tokens.behind(start)).then_some(()),
        class::OPEN_OBJECT => container(tokens, state::OBJECT),
        class::OPEN_ARRAY => container(tokens, state::ARRAY),
        _ => None,
    }
}

/// Skips the rest of an array or object.
fn container(tokens: &mut Tokens<'_>, mut state: u8) -> Option<()> {
    // The state that each of the outer ones is in once the inner one is closed: member or element.
    let mut outer = 0_u64;
    let mut depth = 0;
    let is_sound = tokens.walk(|spec, at| {
        let class = spec.get(at).and_then(|byte| CLASSES.get(usize::from(*byte))).copied().unwrap_or(class::SCALAR);
        let step = STEPS.get(usize::from(state << 3 | class) & 63).copied().unwrap_or(action::STOP);
        let is_object = state < state::ARRAY;
        state = step & !action::ANY;
        match step & action::ANY {
            0 => None,
            action::CHECK_SCALAR if is_scalar(spec.get(at..).unwrap_or_default()) => None,
            action::OPEN if depth < LEVELS => {
                outer = outer << 1 | u64::from(is_object);
                depth += 1;
                None
            }
            action::CLOSE if depth == 0 => Some(true),
            action::CLOSE => {
                state = if outer & 1 == 1 { state::MEMBER } else { state::ELEMENT };
                outer >>= 1;
                depth -= 1;
                None
            }
            _ => Some(false),
        }
    })?;
    is_sound.then_some(())
}
