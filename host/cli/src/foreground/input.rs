//! Copying our standard input to a process of a container.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use dunnage_sys::block_terminal_stops;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::isatty;
use tokio::sync::mpsc::UnboundedSender;

use super::raw_terminal::{RawTerminal, is_in_foreground};
use super::streams::{BUFFER, Event, write_all};

/// How often to look whether a job that wants input has been brought to the foreground.
const FOREGROUND_INTERVAL: Duration = Duration::from_millis(100);
/// The character with which a terminal says that its input has ended (`VEOF` of termios(3)).
const END_OF_INPUT: u8 = 0x04;
/// When the end is said again, at first and at last.
const END_INTERVALS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(60)];

/// Keys with which a person leaves a container to itself: Ctrl-P Ctrl-Q, as in Docker.
const DETACH_KEYS: [u8; 2] = [0x10, 0x11];

/// Where our input goes to.
pub(super) struct Input {
    /// The process's end of it.
    pub(super) fifo: OwnedFd,
    /// Our terminal, if the process has one of its own.
    pub(super) terminal: Option<Arc<RawTerminal>>,
    /// Whether Ctrl-P Ctrl-Q leaves the container.
    pub(super) detaches: bool,
    pub(super) events: UnboundedSender<Event>,
}

impl Input {
    /// Copies until our input has ended. In a thread of its own: reading may block for ever.
    pub(super) fn copy(self) {
        // As a background job we would be stopped by reading the terminal; so the read fails instead.
        block_terminal_stops();
        let mut buffer = vec![0_u8; BUFFER];
        let mut last = None;
        let mut keys = DetachKeys::default();
        loop {
            match rustix::io::read(io::stdin(), &mut *buffer) {
                Ok(0) => break,
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    if self.detaches && self.terminal.is_some() && keys.pressed(bytes) {
                        let _ = self.events.send(Event::Detached);
                        return;
                    }
                    if write_all(self.fifo.as_fd(), bytes).is_err() {
                        return;
                    }
                    last = bytes.last().copied();
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::new(&io::stdin(), PollFlags::IN)], None);
                }
                Err(Errno::IO) if isatty(io::stdin()) && !is_in_foreground() => self.wait_for_foreground(),
                Err(_) => break,
            }
        }
        match &self.terminal {
            Some(_) if !isatty(io::stdin()) => self.end_of_terminal(last),
            // A terminal that has hung up.
            Some(_) => {}
            None => {
                let Self { fifo, events, .. } = self;
                drop(fifo);
                let _ = events.send(Event::StdinEnded);
            }
        }
    }

    fn wait_for_foreground(&self) {
        while !is_in_foreground() {
            std::thread::sleep(FOREGROUND_INTERVAL);
        }
        if let Some(terminal) = &self.terminal {
            terminal.set();
        }
    }

    /// Says the end of our input to a terminal, which has no other end: closing it is a hang-up, with
    /// which containerd's shim loses what was not read yet.
    ///
    /// Said again and again, like the end of a file, which every further read finds. The first time may
    /// be lost: a program that takes the terminal out of its line mode does not see it.
    fn end_of_terminal(self, last: Option<u8>) {
        if last.is_some_and(|last| last != b'\n' && last != END_OF_INPUT) {
            // At the end of half a line it only hands that on.
            let _ = write_all(self.fifo.as_fd(), &[END_OF_INPUT]);
        }
        let [mut pause, longest] = END_INTERVALS;
        loop {
            match rustix::io::write(&self.fifo, &[END_OF_INPUT]) {
                // Nobody reads; there is enough of it in the pipe.
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => return,
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(longest);
        }
    }
}

/// How much of the keys that detach was typed.
#[derive(Debug, Default)]
struct DetachKeys(bool);

impl DetachKeys {
    /// Whether these bytes complete the keys. The first of them reaches the container, as it may be meant.
    fn pressed(&mut self, bytes: &[u8]) -> bool {
        let [first, second] = DETACH_KEYS;
        let mut before = self.0;
        for byte in bytes {
            if before && *byte == second {
                return true;
            }
            before = *byte == first;
        }
        self.0 = before;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_that_detach_follow_each_other() {
        let pressed = |pieces: &[&[u8]]| {
            let mut keys = DetachKeys::default();
            pieces.iter().any(|piece| keys.pressed(piece))
        };
        assert!(pressed(&[b"ls\n\x10\x11"]));
        assert!(pressed(&[b"\x10", b"\x11"]));
        assert!(pressed(&[b"\x10\x10\x11"]));
        assert!(!pressed(&[b"\x10", b"a", b"\x11"]));
        assert!(!pressed(&[b"\x11\x10"]));
    }
}
