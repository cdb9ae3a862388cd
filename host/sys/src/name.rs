//! Names: single components of a path, the only thing that ever reaches a system call below a
//! directory handle.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use crate::random;

/// The name of a directory entry: not empty, not `.` or `..`, without `/` and NUL, at most 255
/// bytes (`NAME_MAX` of Linux).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Cow<'static, CStr>);

/// Why a text is not a [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no bytes.
    #[error("the name is empty")]
    Empty,
    /// It is longer than `NAME_MAX`.
    #[error("the name is longer than 255 bytes")]
    TooLong,
    /// It is the directory itself, or the one above.
    #[error("the name is `.` or `..`")]
    Dots,
    /// It is more than a single component.
    #[error("the name contains `/` or NUL")]
    Separator,
}

impl Name {
    /// A name that is written in the source code, where it is easily seen to be one.
    #[must_use]
    pub const fn literal(name: &'static CStr) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// Checks a name that comes from outside the host.
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self, NameError> {
        let name = name.as_ref();
        match name {
            b"" => Err(NameError::Empty),
            b"." | b".." => Err(NameError::Dots),
            _ if name.len() > 255 => Err(NameError::TooLong),
            _ if name.contains(&b'/') => Err(NameError::Separator),
            _ => CString::new(name).map(|name| Self(Cow::Owned(name))).map_err(|_| NameError::Separator),
        }
    }

    /// A name of the host's own choosing for what is not (or no longer) a bundle: `.<name>.<random>`.
    /// No bundle can have it, because ids do not start with a dot.
    pub fn hidden(&self) -> rustix::io::Result<Self> {
        let random = unique()?;
        // Ids have at most 76 bytes; names in a container's tree may leave no room.
        let shown: String = self.to_string().chars().take(if self.0.count_bytes() > 76 { 40 } else { 76 }).collect();
        let hidden = format!(".{shown}.{:016x}", random);
        Self::new(hidden).map_err(|_| Errno::NAMETOOLONG)
    }

    /// Whether the name has the form of [`Name::hidden`]: a leftover of ours, if it is no longer used.
    pub fn is_own_hidden(&self) -> bool {
        let parts = self.as_text().and_then(|text| text.strip_prefix('.')?.rsplit_once('.'));
        parts.is_some_and(|(shown, random)| {
            let is_hex = random.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            !shown.is_empty() && random.len() == 16 && is_hex
        })
    }

    /// Whether the name starts with a dot, as those of staging directories and of trash do.
    pub fn is_hidden(&self) -> bool {
        self.0.to_bytes().starts_with(b".")
    }

    /// The name, as system calls take it.
    pub fn as_c_str(&self) -> &CStr {
        &self.0
    }

    /// The name as a path of one component, for messages.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.0.to_bytes()))
    }

    /// The name as text, if it is UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        self.0.to_str().ok()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string_lossy())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A number that this process never has twice and that others hardly ever have: a random start,
/// and a count that is spread over all bits (multiplying with an odd number loses none).
fn unique() -> rustix::io::Result<u64> {
    static START: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let start = match START.get() {
        Some(start) => *start,
        None => {
            let random = random()?;
            *START.get_or_init(|| u64::from_ne_bytes(random))
        }
    };
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(start.wrapping_add(count.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_single_components_are_names() {
        for (text, error) in [
            ("", NameError::Empty),
            (".", NameError::Dots),
            ("..", NameError::Dots),
            ("a/b", NameError::Separator),
            ("/", NameError::Separator),
            ("a\0b", NameError::Separator),
            (&"x".repeat(256), NameError::TooLong),
        ] {
            assert_eq!(Name::new(text), Err(error), "{text:?}");
        }
        for text in ["a", ".a", "...", "a b", "ä", &"x".repeat(255)] {
            assert_eq!(Name::new(text).unwrap().as_text(), Some(text));
        }
        assert_eq!(Name::new(b"\xff").unwrap().as_text(), None);
    }

    #[test]
    fn hidden_names_are_unique_and_hidden() {
        let name = Name::new("web-1").unwrap();
        let one = name.hidden().unwrap();
        assert!(one.is_hidden() && !name.is_hidden());
        assert!(one.to_string().starts_with(".web-1."));
        assert_ne!(one, name.hidden().unwrap());
        assert!(one.is_own_hidden() && Name::new("a.b").unwrap().hidden().unwrap().is_own_hidden());
        for other in [".web-1", ".web-1.0123456789abcde", "web-1.0123456789abcdef", "..0123456789abcdef", ".dunnage"] {
            assert!(!Name::new(other).unwrap().is_own_hidden(), "{other}");
        }
    }
}
