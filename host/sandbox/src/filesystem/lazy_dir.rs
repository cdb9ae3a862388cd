//! The directory that is lent for a call: opened, or even made, only when the guest first uses it.

use std::cell::OnceCell;
use std::sync::Arc;

use dunnage_core::{Error, ErrorKind, Result, Step};
use dunnage_sys::{Directory, Name};

/// More entries than a bundle has, records included.
const FEW: usize = 16;

/// What the guest may do with what it was lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
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
pub struct LazyDir {
    access: Access,
    opener: Option<Opener>,
    opened: Option<Arc<Directory>>,
    /// Its entries, if it is lent for reading and has few of them.
    listing: OnceCell<Option<Vec<Name>>>,
}

impl LazyDir {
    pub(crate) fn nothing() -> Self {
        Self { access: Access::Read, opener: None, opened: None, listing: OnceCell::new() }
    }

    /// A directory that is opened when the guest first uses it.
    pub fn new(access: Access, opener: impl FnOnce() -> Result<Arc<Directory>> + Send + 'static) -> Self {
        Self { access, opener: Some(Box::new(opener)), opened: None, listing: OnceCell::new() }
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    pub(super) fn open(&mut self) -> Result<Arc<Directory>> {
        if let Some(opener) = self.opener.take() {
            self.opened = Some(opener()?);
        }
        // A guest is stopped when opening fails, so it never uses the directory a second time.
        self.opened.clone().ok_or_else(|| {
            Error::new(ErrorKind::PolicyBroken, Step::Decide, "it used a directory that it was not lent")
        })
    }

    /// Whether it is known without another system call that it has no entry of that name.
    ///
    /// Most bundles have no record of a shim, and a failed lookup is expensive: the kernel
    /// allocates and frees a negative dentry.
    pub(super) fn surely_lacks(&self, name: &Name) -> bool {
        if self.access != Access::Read {
            return false;
        }
        let Some(directory) = &self.opened else { return false };
        let listing = self.listing.get_or_init(|| directory.few_names(FEW).ok().flatten());
        listing.as_ref().is_some_and(|listed| !listed.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunnage_sys::trusted_path::open_trusted;

    #[test]
    fn only_a_short_listing_tells_what_is_not_there() {
        let scratch = tempfile::tempdir().unwrap();
        let lent = |access| {
            let path = scratch.path().to_owned();
            let mut lent = LazyDir::new(access, move || Ok(Arc::new(open_trusted(&path).unwrap())));
            lent.open().unwrap();
            lent
        };
        let (there, missing) = (Name::new("there").unwrap(), Name::new("missing").unwrap());
        std::fs::write(scratch.path().join("there"), b"").unwrap();
        let short = lent(Access::Read);
        assert!(!short.surely_lacks(&there) && short.surely_lacks(&missing));
        assert!(!lent(Access::Build).surely_lacks(&missing), "what is built changes");
        assert!(!LazyDir::new(Access::Read, || unreachable!()).surely_lacks(&missing), "nothing is opened for it");
        for number in 1..=FEW {
            std::fs::write(scratch.path().join(number.to_string()), b"").unwrap();
        }
        assert!(!lent(Access::Read).surely_lacks(&missing));
    }
}
