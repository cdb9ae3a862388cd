//! Reading a file of events while others append to it.

use dunnage_core::{AtStep, Result, Step};
use dunnage_sys::{FileIdentity, LineFile};

use crate::Event;

/// The longest line that is read; no event makes such a long one.
const MAX_LINE: usize = 64 * 1024;

/// A file and how far it has been read.
#[derive(Debug)]
pub(super) struct Reader {
    file: LineFile,
    /// Where the next line starts. Half a line at the end is read again when it may be whole: a
    /// writer that failed takes it back, or the next one ends it.
    offset: u64,
    /// In the middle of a line that is too long.
    skipping: bool,
}

impl Reader {
    pub(super) fn new(file: LineFile) -> Self {
        Self { file, offset: 0, skipping: false }
    }

    pub(super) fn identity(&self) -> FileIdentity {
        self.file.identity()
    }

    /// Adds the events that have come since the last time. Lines that are not events are left out.
    pub(super) fn read_on(&mut self, events: &mut impl Extend<Event>) -> Result<()> {
        loop {
            let chunk = self.file.read_at(self.offset, MAX_LINE).at_step(Step::ReadEvents)?;
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
            events.extend(lines.skip(skipped).filter_map(parse));
            self.offset += end as u64 + 1;
        }
    }
}

fn parse(line: &[u8]) -> Option<Event> {
    serde_json::from_slice(line).inspect_err(|error| tracing::debug!(%error, "a recorded line is not an event")).ok()
}
