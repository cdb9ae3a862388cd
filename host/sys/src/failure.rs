//! A system call that failed.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// A system call that failed, with what it was called on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The call, as its manual page names it.
    call: &'static str,
    /// What it was called on.
    path: PathBuf,
    /// Further arguments worth reporting.
    detail: Option<String>,
    errno: Errno,
}

impl Failure {
    /// A failure of a call on a path.
    pub fn new(call: &'static str, path: impl Into<PathBuf>, errno: Errno) -> Self {
        Self { call, path: path.into(), detail: None, errno }
    }

    /// The same with further arguments worth reporting.
    pub fn with(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Why it failed.
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// What it was called on.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The call, what it was called on, further arguments, and why it failed.
    pub fn into_parts(self) -> (&'static str, PathBuf, Option<String>, Errno) {
        (self.call, self.path, self.detail, self.errno)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?}", self.call, self.path)?;
        if let Some(detail) = &self.detail {
            write!(f, ", {detail}")?;
        }
        write!(f, "): {}", self.errno)
    }
}

impl std::error::Error for Failure {}

/// What the calls of this crate return.
pub type Result<T> = std::result::Result<T, Failure>;

/// Repeats a call that a signal interrupted.
pub fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
