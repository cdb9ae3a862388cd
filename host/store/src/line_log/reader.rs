//! Reading a file of lines while others append to it.

use dunnage_core::{AtStep as _, Result, Step};
use dunnage_sys::{FileIdentity, LineFile};
use serde::de::DeserializeOwned;

/// The longest line that is read.
const MAX_LINE: usize = 64 * 1024;

/// A file and how far it has been read.
#[derive(Debug)]
pub(super) struct Reader {
    file: LineFile,
    step: Step,
    /// Where the next line starts. Half a line at the end is read again when it may be whole: a
    /// writer that failed takes it back, or the next one ends it.
    offset: u64,
    /// In the middle of a line that is too long.
    skipping: bool,
}

impl Reader {
    pub(super) fn new(file: LineFile, step: Step) -> Self {
        Self { file, step, offset: 0, skipping: false }
    }

    pub(super) fn identity(&self) -> FileIdentity {
        self.file.identity()
    }

    /// Adds what has come since the last time. Lines that cannot be read are left out.
    pub(super) fn read_on<T: DeserializeOwned>(&mut self, found: &mut impl Extend<T>) -> Result<()> {
        loop {
            let chunk = self.file.read_at(self.offset, MAX_LINE).at_step(self.step)?;
            let Some(end) = chunk.iter().rposition(|byte| *byte == b'\n') else {
                if chunk.len() < MAX_LINE {
                    return Ok(());
                }
                self.skipping = true;
                self.offset += chunk.len() as u64;
                continue;
            };
            let lines = chunk.get(..end).unwrap_or_default().split(|byte| *byte == b'\n');
            let skipped = usize::from(std::mem::take(&mut self.skipping));
            found.extend(lines.skip(skipped).filter_map(parse));
            self.offset += end as u64 + 1;
        }
    }
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    serde_json::from_slice(line).inspect_err(|error| tracing::debug!(%error, "a recorded line cannot be read")).ok()
}
