//! The directory that is lent for a call: opened, or even made, only when the guest first uses it.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result, Step};
use crate::sys::Directory;

/// What the guest may do with what it was lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Build a bundle in a staging directory.
    Build,
    /// Read records in a bundle.
    Read,
}

/// What stands behind a directory handle of the guest: a directory below the one that was lent,
/// or, if `None`, that one itself.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct DirectoryResource(pub(super) Option<Arc<Directory>>);

type Opener = Box<dyn FnOnce() -> Result<Arc<Directory>> + Send>;

/// The directory lent for one call.
///
/// It is opened late because most refusals (a bad id, a bad spec) come before the policy touches
/// anything: they then leave no trace and cost no system call.
pub(crate) struct Lent {
    access: Access,
    opener: Option<Opener>,
    opened: Option<Arc<Directory>>,
}

impl Lent {
    pub(crate) fn nothing() -> Self {
        Self { access: Access::Read, opener: None, opened: None }
    }

    pub(crate) fn new(access: Access, opener: impl FnOnce() -> Result<Arc<Directory>> + Send + 'static) -> Self {
        Self { access, opener: Some(Box::new(opener)), opened: None }
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    pub(super) fn open(&mut self) -> Result<Arc<Directory>> {
        if let Some(opener) = self.opener.take() {
            self.opened = Some(opener()?);
        }
        // A guest is stopped when opening fails, so there is no second time without a directory.
        self.opened.clone().ok_or_else(|| {
            Error::new(ErrorKind::PolicyBroken, Step::Decide, "it used a directory that it was not lent")
        })
    }
}
