//! What a shim says about itself, kept in two files of bounded size.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use dunnage_core::names;
use dunnage_sys::Directory;

/// The size at which a new file is begun, in bytes. Two files are kept.
const MAX_SIZE: u64 = 256 << 10;

/// The log of one shim. What cannot be written is lost: a shim must be drained all the same, or it
/// blocks.
#[derive(Debug)]
pub(super) struct ShimLog {
    directory: Arc<Directory>,
    file: Option<File>,
    size: u64,
}

impl ShimLog {
    pub(super) fn new(directory: Arc<Directory>) -> Self {
        Self { directory, file: None, size: 0 }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        if self.file.is_none() || self.size >= MAX_SIZE {
            self.begin();
        }
        if let Some(file) = &mut self.file {
            // What does not fit on the disk is lost, and so are the lines after it.
            let _ = file.write_all(bytes);
            self.size += bytes.len() as u64;
        }
    }

    /// Begins a new file; the one before is kept, the one before that goes.
    fn begin(&mut self) {
        if let Err(failure) = self.directory.replace(&names::LOG, &names::OLDER_LOG)
            && failure.errno() != rustix::io::Errno::NOENT
        {
            tracing::debug!(%failure, "cannot keep the older log of a shim");
            let _ = self.directory.unlink(&names::LOG);
        }
        self.file = self.directory.open_new_file(&names::LOG, 0o600).ok().map(File::from);
        self.size = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunnage_sys::trusted_path::open_trusted;

    #[test]
    fn two_files_of_bounded_size_are_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let mut log = ShimLog::new(Arc::new(open_trusted(scratch.path()).unwrap()));
        for line in 0..40_000 {
            log.write(format!("line {line:06} of what a shim says\n").as_bytes());
        }
        let (new, old) = (scratch.path().join("log"), scratch.path().join("log.1"));
        assert!(std::fs::read_to_string(&new).unwrap().ends_with("line 039999 of what a shim says\n"));
        for file in [new, old] {
            assert!(file.metadata().unwrap().len() < MAX_SIZE + 4096);
        }
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 2);
    }
}
