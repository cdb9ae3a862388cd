//! Following the record as it grows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dunnage_core::{AtStep, Result, Step, names};
use dunnage_sys::{Directory, DirectoryWatch};

use crate::Event;
use crate::log::EventLog;
use crate::reader::Reader;

/// How often to look where nothing can be watched: no directory yet, no inotify.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How often to look all the same: the directory may have been replaced.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The events on record, and then those to come, as they are recorded.
///
/// As an iterator it waits for ever and has no end; [`EventStream::next_within`] can be given up. A
/// reader that falls behind the retained log misses events.
#[derive(Debug)]
pub struct EventStream {
    log: EventLog,
    watched: Option<Watched>,
    reader: Option<Reader>,
    ready: VecDeque<Event>,
}

#[derive(Debug)]
struct Watched {
    /// Kept open, so that no other directory can get its inode.
    directory: Arc<Directory>,
    /// `None` if the kernel gives us none (there is a limit per user).
    watch: Option<DirectoryWatch>,
}

impl EventStream {
    /// Follows a log from its start.
    #[doc(hidden)]
    pub fn new(log: EventLog) -> Self {
        Self { log, watched: None, reader: None, ready: VecDeque::new() }
    }

    /// Leaves out what is on record already.
    ///
    /// # Errors
    ///
    /// If the record cannot be read.
    pub fn from_now(mut self) -> Result<Self> {
        self.look().map_err(|error| error.during(|| "follow the events".to_owned()))?;
        self.ready.clear();
        Ok(self)
    }

    /// The next event; `None` if none comes within some time.
    ///
    /// # Errors
    ///
    /// If the record cannot be read.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Event>> {
        let start = Instant::now();
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            self.look().map_err(|error| error.during(|| "follow the events".to_owned()))?;
            let left = timeout.saturating_sub(start.elapsed());
            if self.ready.is_empty() {
                if left.is_zero() {
                    return Ok(None);
                }
                self.wait(left).map_err(|error| error.during(|| "follow the events".to_owned()))?;
            }
        }
    }

    fn wait(&self, most: Duration) -> Result<()> {
        match self.watched.as_ref().and_then(|watched| watched.watch.as_ref()) {
            Some(watch) => watch.wait(most.min(RECHECK_INTERVAL)).at_step(Step::ReadEvents),
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
        let now = directory.lines_identity(&names::LOG).at_step(Step::ReadEvents)?;
        let known = self.reader.as_ref().map(Reader::identity);
        if let Some(reader) = &mut self.reader {
            reader.read_on(&mut self.ready)?;
        }
        if known == now && now.is_some() {
            return Ok(());
        }
        let files = directory.open_rotated_lines(&names::LOG, &names::OLDER_LOG).at_step(Step::ReadEvents)?;
        for file in files.into_iter().flatten() {
            if Some(file.identity()) != known {
                self.reader.insert(Reader::new(file)).read_on(&mut self.ready)?;
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
            .inspect_err(|failure| tracing::debug!(%failure, "cannot watch for events, so polling instead"))
            .ok();
        self.watched = Some(Watched { directory: Arc::clone(directory), watch });
        self.reader = None;
    }
}

impl Iterator for EventStream {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.next_within(RECHECK_INTERVAL).transpose() {
                return Some(found);
            }
        }
    }
}
