//! The handles of the contract, as the policy sees them.

use alloc::vec::Vec;

use crate::bindings::dunnage::bundle::filesystem::{self, ErrorCode, Spec};
use crate::directory::Directory;

/// A lent directory, with the spec that may be written into it if one was lent too.
pub(crate) struct Lent<'a> {
    pub(crate) directory: &'a filesystem::Directory,
    pub(crate) spec: Option<&'a Spec>,
}

impl Directory for Lent<'_> {
    type Error = ErrorCode;

    fn set_group(&self, group: u32) -> Result<(), ErrorCode> {
        self.directory.set_group(group)
    }

    fn set_mode(&self, mode: u32) -> Result<(), ErrorCode> {
        self.directory.set_mode(mode)
    }

    fn create_directory_at(&self, name: &str, mode: u32) -> Result<(), ErrorCode> {
        self.directory.create_directory_at(name, mode)
    }

    fn write_spec_at(&self, name: &str, mode: u32, group: Option<u32>) -> Result<(), ErrorCode> {
        let spec = self.spec.ok_or(ErrorCode::Invalid)?;
        self.directory.write_spec_at(name, spec, mode, group)
    }

    fn read_file_at(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, ErrorCode> {
        match self.directory.read_file_at(name, limit) {
            Err(ErrorCode::NoEntry) => Ok(None),
            result => result.map(Some),
        }
    }
}
