//! Our terminal in raw mode: the container's own terminal does the rest.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::process::getpgrp;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcsetattr};

/// Our terminal, raw while this process is in its foreground, until it is restored.
///
/// In the background the terminal belongs to others: setting it would stop us (SIGTTOU), or spoil what
/// they do.
#[derive(Debug, Default)]
pub(super) struct RawTerminal {
    before: Mutex<Option<Termios>>,
    /// The thread that reads may hold this for ever.
    is_over: AtomicBool,
}

impl RawTerminal {
    /// Makes the terminal raw, if it is one and ours at the moment. Again after others had it.
    pub(super) fn set(&self) {
        let stdin = io::stdin();
        if self.is_over.load(Ordering::Relaxed) || !isatty(&stdin) || !is_in_foreground() {
            return;
        }
        let Ok(mut raw) = tcgetattr(&stdin) else { return };
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = raw.clone();
        raw.make_raw();
        if tcsetattr(&stdin, OptionalActions::Drain, &raw).is_ok() {
            before.get_or_insert(saved);
        }
    }
}

impl RawTerminal {
    /// Makes the terminal what it was, for good.
    pub(super) fn restore(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(before) = before
            && is_in_foreground()
        {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &before);
        }
    }
}

/// Whether this process may read from the terminal that is its standard input (tcgetpgrp(3)). One that is
/// not our controlling terminal has no foreground.
pub(super) fn is_in_foreground() -> bool {
    match tcgetpgrp(io::stdin()) {
        Ok(group) => group == getpgrp(),
        Err(errno) => errno == Errno::NOTTY,
    }
}
