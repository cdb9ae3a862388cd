//! The options and the report of a recovery.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dunnage_core::BundleId;

/// How to recover.
#[derive(Clone)]
#[non_exhaustive]
pub struct RecoverOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Also remove what deletions of containerd's runtime v1 have left (`.<id>`).
    pub adopt_v1: bool,
    /// How long all of it may take; what was not looked at by then is undecided. Default 60 s. A
    /// removal that has begun is finished.
    pub timeout: Duration,
    /// Called, from several threads, with the number of entries that were looked at so far.
    pub progress: Option<Arc<dyn Fn(u64) + Send + Sync>>,
}

impl Default for RecoverOptions {
    fn default() -> Self {
        Self { dry_run: false, adopt_v1: false, timeout: Duration::from_secs(60), progress: None }
    }
}

impl fmt::Debug for RecoverOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dry_run, adopt_v1, timeout, progress: _ } = self;
        f.debug_struct("RecoverOptions")
            .field("dry_run", dry_run)
            .field("adopt_v1", adopt_v1)
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}

/// What kind of leftover it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Leftover {
    /// What a creation was building, or a deletion was removing, when it was cut short.
    Hidden,
    /// What a deletion of containerd's runtime v1 has left.
    V1,
    /// A work directory without a bundle.
    WorkDir,
    /// A bundle of an earlier boot: nothing of it can be running.
    Bundle,
    /// The records of a shim that is gone or was never started: with its socket, its FIFOs, and
    /// what it had mounted.
    Shim,
    /// A namespace that cannot be looked at.
    Namespace,
}

impl Leftover {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Hidden, Self::V1, Self::WorkDir, Self::Bundle, Self::Shim, Self::Namespace];

    /// A stable name for programs, in lower case with hyphens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::V1 => "v1",
            Self::WorkDir => "work-dir",
            Self::Bundle => "bundle",
            Self::Shim => "shim",
            Self::Namespace => "namespace",
        }
    }
}

/// What became of something that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// It is gone.
    Removed,
    /// It would be gone, were it not for [`RecoverOptions::dry_run`].
    WouldRemove,
    /// It stays: it is in use, or alive, or not to be removed without being asked.
    Kept,
    /// It stays, since it is unclear what it is, or since it could not be removed.
    Undecided,
}

impl Fate {
    /// A stable name for programs, in lower case with hyphens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::WouldRemove => "would-remove",
            Self::Kept => "kept",
            Self::Undecided => "undecided",
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What kind of leftover it is.
    pub leftover: Leftover,
    /// Where it lies.
    pub path: PathBuf,
    /// The bundle that it is of, where that is known.
    pub id: Option<BundleId>,
    /// What became of it.
    pub fate: Fate,
    /// Why, unless that is obvious.
    pub why: Option<String>,
}

/// What a recovery has found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// What was found, by kind and path. Anything alive and well is not listed.
    pub findings: Vec<Finding>,
    /// How many entries were looked at.
    pub looked_at: u64,
}

impl Recovery {
    /// Whether something undecided stays.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.findings.iter().any(|finding| finding.fate == Fate::Undecided)
    }

    /// How many findings of a kind had some fate.
    #[must_use]
    pub fn count(&self, leftover: Leftover, fate: Fate) -> usize {
        self.findings.iter().filter(|finding| finding.leftover == leftover && finding.fate == fate).count()
    }
}
