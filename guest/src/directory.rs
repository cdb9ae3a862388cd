//! The directory that the policy is written against: the handle of the contract, or a fake.

use alloc::vec::Vec;

#[cfg(target_family = "wasm")]
mod handle;

#[cfg(target_family = "wasm")]
pub(crate) use self::handle::Lent;

/// A directory handle, and the spec that can be written into it.
///
/// The functions are those of `wit/filesystem.wit`; the spec of a call is part of the handle.
pub trait Directory {
    /// What a failed call says.
    type Error: Copy;

    /// Gives the directory itself to a group (`fchown(2)`).
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn set_group(&self, group: u32) -> Result<(), Self::Error>;

    /// Sets the permission bits of the directory itself (`fchmod(2)`).
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn set_mode(&self, mode: u32) -> Result<(), Self::Error>;

    /// Makes a directory in this one (`mkdirat(2)`).
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn create_directory_at(&self, name: &str, mode: u32) -> Result<(), Self::Error>;

    /// Writes the spec of this call to a new file (`openat(2)` with `O_EXCL`).
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn write_spec_at(&self, name: &str, mode: u32, group: Option<u32>) -> Result<(), Self::Error>;

    /// Reads a regular file of at most `limit` bytes; `None` if there is none.
    ///
    /// # Errors
    ///
    /// What the file system says, except for a missing file.
    fn read_file_at(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Self::Error>;
}
