//! Writing the record.

use std::sync::Arc;
use std::time::SystemTime;

use dunnage_sys::{Directory, LineFile, Name};
use rustix::io::Errno;

use crate::line::{Line, LogStream, time_text};

/// The longest text of a line: what Kubernetes' own readers expect.
const MAX_TEXT: usize = 16 << 10;
const MODE: u32 = 0o640;

/// Writes what a container says to a file, and keeps the one before it.
///
/// What cannot be written is lost: a container must be drained all the same, or it blocks.
#[derive(Debug)]
pub struct LogWriter {
    directory: Arc<Directory>,
    name: Name,
    older: Name,
    max_size: u64,
    file: Option<LineFile>,
    size: u64,
    buffer: Vec<u8>,
    is_complaining: bool,
}

impl LogWriter {
    /// A record in a directory. The file of an earlier container of that name becomes the older one.
    #[must_use]
    pub fn new(directory: Arc<Directory>, name: Name, older: Name, max_size: u64) -> Self {
        Self { directory, name, older, max_size, file: None, size: 0, buffer: Vec::new(), is_complaining: false }
    }

    /// Makes the file, so that a reader finds it before anything was written.
    ///
    /// # Errors
    ///
    /// If it cannot be made; later writes try again.
    pub fn begin(&mut self) -> dunnage_sys::Result<()> {
        let begun = match self.directory.replace(&self.name, &self.older) {
            Err(failure) if failure.errno() != Errno::NOENT => Err(failure),
            _ => self.directory.open_lines_to_append(&self.name, MODE),
        };
        self.size = 0;
        self.file = None;
        self.file = Some(begun?);
        Ok(())
    }

    /// Records what was read from a stream of the container.
    pub fn write(&mut self, stream: LogStream, bytes: &[u8]) {
        let time = time_text(SystemTime::now());
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.iter().take(MAX_TEXT).position(|byte| *byte == b'\n');
            let length = end.unwrap_or_else(|| rest.len().min(MAX_TEXT));
            let (text, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            Line::write(&mut self.buffer, &time, stream, end.is_some(), text);
            rest = if end.is_some() { after.get(1..).unwrap_or_default() } else { after };
            // Lines stay together, so that a file never begins in the middle of one.
            if self.buffer.len() as u64 + self.size >= self.max_size {
                self.flush();
                (self.file, self.size) = (None, 0);
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        if self.file.is_none()
            && let Err(failure) = self.begin()
        {
            self.complain(&failure);
        }
        if let (Some(file), Some(lines)) = (&self.file, self.buffer.strip_suffix(b"\n")) {
            match file.append_line(lines) {
                Ok(()) => self.is_complaining = false,
                Err(failure) => self.complain(&failure),
            }
            // Also what was lost: on a full disk the older file makes room at last.
            self.size += self.buffer.len() as u64;
        }
        self.buffer.clear();
    }

    /// Once, until it works again: a full disk would otherwise fill the log of the log.
    fn complain(&mut self, why: &dyn std::fmt::Display) {
        if !std::mem::replace(&mut self.is_complaining, true) {
            tracing::warn!(directory = %self.directory.path().display(), "cannot keep what a container says: {why}");
        }
    }
}
