//! What a policy says it has built, and what the host has made for it: the two sides of the check
//! before a bundle is published.

use dunnage_sys::Name;

/// The most permission bits that a directory of a bundle may have.
pub const DIRECTORY_MODE: u32 = 0o711;
/// The most permission bits that a file of a bundle may have.
pub const FILE_MODE: u32 = 0o640;
/// The permission bits of a staging directory: it is ours alone until the policy widens it.
pub const STAGING_MODE: u32 = 0o700;

/// What the host has made for the policy in the directory that was lent.
#[derive(Debug)]
pub struct StagedContents {
    /// How many directories and files.
    pub entries: u32,
    /// The last file, and its mode.
    pub file: Option<(Name, u32)>,
    /// The mode of the directory itself.
    pub mode: u32,
}

impl Default for StagedContents {
    fn default() -> Self {
        Self { entries: 0, file: None, mode: STAGING_MODE }
    }
}

/// What the policy says it has built in the staging directory.
#[derive(Debug)]
pub struct Built {
    /// The group that it was given to; 0 if it is not remapped.
    pub remapped_gid: u32,
    /// What the host has made for it.
    pub made: StagedContents,
}
