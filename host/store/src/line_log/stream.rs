//! Following the record as it grows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dunnage_core::{AtStep as _, Result, names};
use dunnage_sys::{Directory, DirectoryWatch};
use serde::de::DeserializeOwned;

use super::LineLog;
use super::reader::Reader;

/// How often to look where nothing can be watched: no directory yet, no inotify.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How often to look all the same: the directory may have been replaced.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What is on record, and then what is to come, as it is recorded.
///
/// As an iterator it waits for ever and has no end; [`LineStream::next_within`] can be given up. A
/// reader that falls behind the retained log misses something.
#[derive(Debug)]
pub struct LineStream<T> {
    log: LineLog,
    /// What to say of an error.
    operation: &'static str,
    watched: Option<Watched>,
    reader: Option<Reader>,
    ready: VecDeque<T>,
}

#[derive(Debug)]
struct Watched {
    /// Kept open, so that no other directory can get its inode.
    directory: Arc<Directory>,
    /// `None` if the kernel gives us none (there is a limit per user).
    watch: Option<DirectoryWatch>,
}

impl<T: DeserializeOwned> LineStream<T> {
    /// Follows a log from its start; errors say that it was this operation.
    #[doc(hidden)]
    pub fn new(log: LineLog, operation: &'static str) -> Self {
        Self { log, operation, watched: None, reader: None, ready: VecDeque::new() }
    }

    /// Leaves out what is on record already.
    ///
    /// # Errors
    ///
    /// If the record cannot be read.
    pub fn from_now(mut self) -> Result<Self> {
        self.look().map_err(|error| error.during(|| self.operation.to_owned()))?;
        self.ready.clear();
        Ok(self)
    }

    /// The next line; `None` if none comes within some time.
    ///
    /// # Errors
    ///
    /// If the record cannot be read.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<T>> {
        let start = Instant::now();
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            self.look().map_err(|error| error.during(|| self.operation.to_owned()))?;
            let left = timeout.saturating_sub(start.elapsed());
            if self.ready.is_empty() {
                if left.is_zero() {
                    return Ok(None);
                }
                self.wait(left).map_err(|error| error.during(|| self.operation.to_owned()))?;
            }
        }
    }

    fn wait(&self, most: Duration) -> Result<()> {
        match self.watched.as_ref().and_then(|watched| watched.watch.as_ref()) {
            Some(watch) => watch.wait(most.min(RECHECK_INTERVAL)).at_step(self.log.read_step),
            None => {
                std::thread::sleep(most.min(POLL_INTERVAL));
                Ok(())
            }
        }
    }

    /// Reads what is new.
    fn look(&mut self) -> Result<()> {
        let Some(directory) = self.log.open()? else {
            (self.watched, self.reader) = (None, None);
            return Ok(());
        };
        self.watch(&directory);
        // First which file it is, then its content: nothing is appended to a file that has lost its name.
        let now = directory.lines_identity(&names::LOG).at_step(self.log.read_step)?;
        let known = self.reader.as_ref().map(Reader::identity);
        if let Some(reader) = &mut self.reader {
            reader.read_on(&mut self.ready)?;
        }
        if known == now && now.is_some() {
            return Ok(());
        }
        let files = directory.open_rotated_lines(&names::LOG, &names::OLDER_LOG).at_step(self.log.read_step)?;
        for file in files.into_iter().flatten() {
            if Some(file.identity()) != known {
                self.reader.insert(Reader::new(file, self.log.read_step)).read_on(&mut self.ready)?;
            }
        }
        Ok(())
    }

    /// Watches the directory from before it is read, so that no change falls between.
    fn watch(&mut self, directory: &Arc<Directory>) {
        if self.watched.as_ref().is_some_and(|watched| watched.directory.identity() == directory.identity()) {
            return;
        }
        let watch = DirectoryWatch::new(directory)
            .inspect_err(|failure| tracing::debug!(%failure, "cannot watch a log, so polling instead"))
            .ok();
        self.watched = Some(Watched { directory: Arc::clone(directory), watch });
        self.reader = None;
    }
}

impl<T: DeserializeOwned> Iterator for LineStream<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.next_within(RECHECK_INTERVAL).transpose() {
                return Some(found);
            }
        }
    }
}
