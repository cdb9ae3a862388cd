//! How far long work has come: a line on a terminal, once it takes longer than a second.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When it is shown first, and how often then.
const FIRST: Duration = Duration::from_secs(1);
const PERIOD: Duration = Duration::from_millis(100);

/// Shows a count on standard error if that is a terminal, and takes the line away when it is dropped.
pub(crate) struct Progress {
    command: &'static str,
    /// What is counted.
    unit: &'static str,
    shown: Option<Mutex<Shown>>,
}

struct Shown {
    next: Instant,
    width: usize,
}

impl Progress {
    /// To be made before this process confines itself: later it cannot ask about its terminal.
    pub(crate) fn new(command: &'static str, unit: &'static str) -> Self {
        let is_watched = std::io::stderr().is_terminal();
        let shown = is_watched.then(|| Mutex::new(Shown { next: Instant::now() + FIRST, width: 0 }));
        Self { command, unit, shown }
    }

    pub(crate) fn show(&self, count: u64) {
        // If it is locked, another thread is showing it already.
        let Some(Ok(mut shown)) = self.shown.as_ref().map(Mutex::try_lock) else { return };
        if Instant::now() >= shown.next {
            let line = format!("{}: {count} {}", self.command, self.unit);
            let _ = write!(std::io::stderr(), "\r{line}");
            *shown = Shown { next: Instant::now() + PERIOD, width: line.len() };
        }
    }

    /// Takes the line away, before a result is printed.
    pub(crate) fn clear(&self) {
        let Some(shown) = &self.shown else { return };
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let width = std::mem::take(&mut shown.width);
        if width > 0 {
            let _ = write!(std::io::stderr(), "\r{:width$}\r", "");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
