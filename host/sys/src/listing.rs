//! Listing a directory.

use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;

use rustix::fs::RawDir;
use rustix::io::Errno;

use crate::metadata::kind_of;
use crate::{Directory, Failure, FileKind, Name, Result};

/// An entry of a directory, as `getdents64(2)` reports it.
#[derive(Debug)]
pub struct DirectoryEntry {
    /// Its name.
    pub name: Name,
    /// `None` where the file system does not report it.
    pub kind: Option<FileKind>,
}

impl Directory {
    /// Whether there are no entries but `.` and `..`.
    pub fn is_empty(&self) -> Result<bool> {
        self.list(1).map(|entries| entries.is_empty())
    }

    /// All entries but `.` and `..`.
    pub fn entries(&self) -> Result<Vec<DirectoryEntry>> {
        self.list(usize::MAX)
    }

    /// The names of all entries, if there are at most `most`.
    pub fn few_names(&self, most: usize) -> Result<Option<Vec<Name>>> {
        let entries = self.list(most.saturating_add(1))?;
        Ok((entries.len() <= most).then(|| entries.into_iter().map(|entry| entry.name).collect()))
    }

    fn list(&self, most: usize) -> Result<Vec<DirectoryEntry>> {
        let mut entries = Vec::new();
        if most > 0 {
            self.each_entry(|entry| {
                entries.push(entry);
                if entries.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(entries)
    }

    /// Visits the entries but `.` and `..`, however many they are, until the visitor has seen enough.
    pub fn each_entry(&self, mut visit: impl FnMut(DirectoryEntry) -> ControlFlow<()>) -> Result<()> {
        let fail = |errno| Failure::new("getdents64", self.path(), errno);
        self.begin_listing().map_err(fail)?;
        let mut buffer = [MaybeUninit::<u8>::uninit(); 8192];
        let mut listing = RawDir::new(self.as_fd(), &mut buffer);
        while let Some(entry) = listing.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(fail(errno)),
            };
            // `.` and `..` are not valid names.
            if let Ok(name) = Name::new(entry.file_name().to_bytes())
                && visit(DirectoryEntry { name, kind: kind_of(entry.file_type()) }).is_break()
            {
                break;
            }
        }
        Ok(())
    }
}
