//! Identifiers and names against their rules, stated in another way.

#![no_main]

use dunnage_policy::identifier::{self, Fault, Part};
use libfuzzer_sys::fuzz_target;

/// containerd's rule, from the other end: pieces between separators.
fn is_identifier(text: &str) -> bool {
    let is_piece = |piece: &str| !piece.is_empty() && piece.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 76 && text.split(['.', '_', '-']).all(is_piece)
}

/// What Linux takes as the name of an entry, except those that lead elsewhere.
fn is_name(bytes: &[u8]) -> bool {
    (1..=255).contains(&bytes.len())
        && bytes.iter().all(|byte| !matches!(byte, b'/' | 0))
        && !matches!(bytes, b"." | b"..")
}

fn check_identifier(text: &str) -> bool {
    let found = identifier::check(text);
    assert_eq!(found.is_ok(), is_identifier(text), "{text:?}: {found:?}");
    match found {
        Ok(()) => assert!(is_name(text.as_bytes()) && !text.starts_with('.')),
        Err(Fault::Empty) => assert_eq!(text, ""),
        Err(Fault::TooLong(length)) => assert!(length == text.len() && length > 76),
        Err(Fault::Character(character, position)) => {
            let before: String = text.chars().take(position as usize).collect();
            assert_eq!(text.chars().nth(position as usize), Some(character));
            assert!(before.is_empty() || is_identifier(&before) || is_identifier(&format!("{before}x")));
            assert!(!is_identifier(&format!("{before}{character}x")));
        }
        Err(Fault::EndsWithSeparator) => assert!(is_identifier(&format!("{text}x")) || text.len() == 76),
    }
    is_identifier(text)
}

fuzz_target!(|input: &[u8]| {
    let name = dunnage::fuzzing::name(input);
    assert_eq!(name.is_some(), is_name(input), "{}", input.escape_ascii());
    if let Some((name, hidden)) = name {
        assert_eq!(name, input);
        let hidden = hidden.unwrap();
        assert!(hidden.starts_with('.') && is_name(hidden.as_bytes()), "{hidden:?}");
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (namespace, id) = text.split_once('/').unwrap_or((text, text));
    let expected = match (check_identifier(namespace), check_identifier(id)) {
        (false, _) => Some(Part::Namespace),
        (true, false) => Some(Part::Id),
        (true, true) => None,
    };
    assert_eq!(identifier::check_both(namespace, id).err().map(|error| error.part), expected);
});
