//! Identifiers: containerd's rule for namespaces and ids (its package `identifiers`).

/// The longest identifier, in bytes.
pub const MAX_LENGTH: usize = 76;

/// What is wrong with an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has no characters.
    Empty,
    /// It is longer than [`MAX_LENGTH`]; its length in bytes.
    TooLong(usize),
    /// A character that may not stand where it stands, counted in characters from 0.
    Character(char, u32),
    /// It ends with a separator.
    EndsWithSeparator,
}

/// Which of the two an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The namespace.
    Namespace,
    /// The container's id.
    Id,
}

/// A namespace or id that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Which of the two.
    pub part: Part,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Checks a namespace and an id.
///
/// # Errors
///
/// The first fault, the namespace's before the id's.
pub fn check_both(namespace: &str, id: &str) -> Result<(), Error> {
    check(namespace).map_err(|fault| Error { part: Part::Namespace, fault })?;
    check(id).map_err(|fault| Error { part: Part::Id, fault })
}

/// Checks one identifier: 1 to 76 characters, `^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$`.
///
/// # Errors
///
/// The first fault.
pub fn check(identifier: &str) -> Result<(), Fault> {
    if identifier.is_empty() {
        return Err(Fault::Empty);
    }
    if identifier.len() > MAX_LENGTH {
        return Err(Fault::TooLong(identifier.len()));
    }
    // A separator needs a letter or digit on both sides.
    let mut after_separator = true;
    for (position, character) in (0..).zip(identifier.chars()) {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' => after_separator = false,
            '.' | '_' | '-' if !after_separator => after_separator = true,
            _ => return Err(Fault::Character(character, position)),
        }
    }
    if after_separator { Err(Fault::EndsWithSeparator) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
