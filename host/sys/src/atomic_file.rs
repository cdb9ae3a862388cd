//! Files that change while others read them: written in one step.

use std::os::fd::AsFd;

use rustix::fs::{RenameFlags, renameat_with};

use crate::{Directory, Failure, Name, Result, retry};

impl Directory {
    /// Writes a file in one step: under a hidden name first, then renamed over the file of that
    /// name. Readers see the old content or the new one.
    pub fn write_file(&self, name: &Name, content: &[u8], mode: u32) -> Result<()> {
        let hidden = name.hidden().map_err(|errno| Failure::new("getrandom", self.path_of(name), errno))?;
        self.create_file(&hidden, content, mode, None, false)?;
        self.replace(&hidden, name).inspect_err(|_| {
            if let Err(failure) = self.unlink_if_there(&hidden) {
                tracing::warn!(%failure, "cannot remove a new file again");
            }
        })
    }

    /// Gives an entry another name in this directory, in place of what has that name.
    pub fn replace(&self, from: &Name, to: &Name) -> Result<()> {
        retry(|| renameat_with(self.as_fd(), from.as_c_str(), self.as_fd(), to.as_c_str(), RenameFlags::empty()))
            .map_err(|errno| {
                Failure::new("renameat2", self.path_of(from), errno).with(format!("{:?}", self.path_of(to)))
            })
    }
}
