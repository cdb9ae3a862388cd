//! What a bundle is called and where it lies.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use dunnage_sys::Metadata;

/// The namespace and the id of a bundle, as the caller gave them. The policy decides whether they
/// are valid.
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

/// Tells apart the bundles that have had one name, so that a caller can check that a bundle is
/// still the one it created. As text it can be passed to another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    device: (u32, u32),
    inode: u64,
    /// Needed since inodes are reused. 0 where the file system keeps no time of birth.
    born: u128,
}

impl Incarnation {
    /// The incarnation of the bundle in a directory.
    #[must_use]
    #[doc(hidden)]
    pub fn of(directory: &Metadata) -> Self {
        let born = directory.born.map_or(0, |born| born.as_nanos());
        Self { device: directory.device, inode: directory.inode, born }
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.device.0, self.device.1, self.inode, self.born)
    }
}

/// A text that is not an incarnation of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an incarnation of a bundle")]
pub struct NoIncarnation;

impl FromStr for Incarnation {
    type Err = NoIncarnation;

    fn from_str(text: &str) -> Result<Self, NoIncarnation> {
        let parsed = || {
            let mut fields = text.split(':');
            let device = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            let (inode, born) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            fields.next().is_none().then_some(Self { device, inode, born })
        };
        parsed().ok_or(NoIncarnation)
    }
}

/// A bundle: where it and its work directory lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    id: BundleId,
    path: PathBuf,
    work_dir: PathBuf,
}

impl Bundle {
    /// A bundle that lies at these paths: the caller vouches for them.
    #[must_use]
    #[doc(hidden)]
    pub fn at(id: BundleId, path: PathBuf, work_dir: PathBuf) -> Self {
        Self { id, path, work_dir }
    }

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
