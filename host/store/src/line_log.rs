//! Lines of JSON that are kept for a while: `log`, the file that they are appended to, and `log.1`, the
//! one before it, in a directory of our records.

mod reader;
mod stream;

use std::sync::Arc;

use dunnage_core::{AtStep as _, Result, Step, names};
use dunnage_sys::{Directory, Name};
use serde::de::DeserializeOwned;

use self::reader::Reader;
pub use self::stream::LineStream;
use crate::{BaseDir, DirLock, LockWait};

const MODE: u32 = 0o600;

/// A record of lines, which any number of processes append to and read from.
#[derive(Debug)]
pub struct LineLog {
    base: BaseDir,
    directory: Name,
    max_size: u64,
    write_step: Step,
    read_step: Step,
}

impl LineLog {
    /// The log in a directory of the records below a state or root directory, whose files become at most
    /// so large. Touches nothing yet.
    #[must_use]
    pub fn new(base: BaseDir, directory: Name, max_size: u64, write_step: Step, read_step: Step) -> Self {
        Self { base, directory, max_size, write_step, read_step }
    }

    /// Appends a line without its end, if it is news: that is asked when no other process can append.
    ///
    /// # Errors
    ///
    /// If it cannot be written down; then nothing of it is.
    pub fn append_if(&self, line: &[u8], is_news: impl FnOnce() -> Result<bool>) -> Result<()> {
        let directory = self.lock()?;
        if !is_news()? {
            return Ok(());
        }
        let mut file = directory.open_lines_to_append(&names::LOG, MODE).at_step(self.write_step)?;
        let size = file.size().at_step(self.write_step)?;
        if size > 0 && size.saturating_add(line.len() as u64 + 1) > self.max_size {
            directory.replace(&names::LOG, &names::OLDER_LOG).at_step(self.write_step)?;
            file = directory.open_lines_to_append(&names::LOG, MODE).at_step(self.write_step)?;
        }
        file.append_line(line).at_step(self.write_step)
    }

    /// The directory, locked against others who append; made if it is missing.
    fn lock(&self) -> Result<DirLock> {
        loop {
            let records = self.base.records_or_make(&[])?;
            self.base.records_or_make(std::slice::from_ref(&self.directory))?;
            if let Some(locked) = DirLock::open(&records, &self.directory, LockWait::patiently(), self.write_step)? {
                return Ok(locked);
            }
        }
    }

    /// The directory, or `None` if nothing was ever recorded.
    fn open(&self) -> Result<Option<Arc<Directory>>> {
        self.base.records(std::slice::from_ref(&self.directory))
    }

    /// All that is on record, the oldest first.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn read<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        let mut found = Vec::new();
        let Some(directory) = self.open()? else { return Ok(found) };
        let files = directory.open_rotated_lines(&names::LOG, &names::OLDER_LOG).at_step(self.read_step)?;
        for file in files.into_iter().flatten() {
            Reader::new(file, self.read_step).read_on(&mut found)?;
        }
        Ok(found)
    }
}
