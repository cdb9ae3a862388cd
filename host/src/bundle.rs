//! What a bundle is called and where it lies.

use std::fmt;
use std::path::{Path, PathBuf};

/// The namespace and the id of a bundle, as the caller gave them. Whether they are valid is for
/// the policy to say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BundleId {
    namespace: String,
    id: String,
}

impl BundleId {
    /// Takes a namespace and an id.
    pub fn new(namespace: impl Into<String>, id: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), id: id.into() }
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The id within the namespace.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for BundleId {
    /// `namespace/id`, shortened and without control characters: ids are untrusted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| text.chars().take(80).flat_map(char::escape_default).collect::<String>();
        write!(f, "{}/{}", shown(&self.namespace), shown(&self.id))
    }
}

/// A bundle: where it and its work directory lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    pub(crate) id: BundleId,
    pub(crate) path: PathBuf,
    pub(crate) work_dir: PathBuf,
}

impl Bundle {
    /// Its namespace and id.
    #[must_use]
    pub fn id(&self) -> &BundleId {
        &self.id
    }

    /// The bundle's directory, which holds `rootfs` and `config.json`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bundle's work directory.
    #[must_use]
    pub fn work_dir(&self) -> &Path {
        &self.work_dir
    }
}
