//! Signals: before the container runs they end the attempt, afterwards they are passed on.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dunnage_sys::{ignores, is_kept_from, ordinary_signals, program_name};
use futures::future::{FutureExt as _, select_all};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signal of a broken pipe.
pub(crate) const PIPE: u32 = 13;
/// How long a step may take to finish once a signal has come: half a step is harder to take back.
const SIGNAL_GRACE_TIMEOUT: Duration = Duration::from_secs(2);

/// The signals that are passed on: all that another process may send. Those of job control (SIGTSTP
/// and the like), of broken pipes and urgent data, and of our own faults are for us alone.
fn passed_on() -> impl Iterator<Item = i32> {
    ordinary_signals().chain([libc::SIGABRT])
}

/// A signal that came before the container was running, or that could not be passed on to it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("interrupted by signal {0}")]
pub(crate) struct Interrupted(pub(crate) u32);

impl Interrupted {
    pub(crate) fn exit_code(self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(u8::MAX)
    }
}

/// What has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A signal to pass on.
    Signal(u32),
    /// The size of our terminal has changed.
    Resized,
    /// We were stopped, and go on.
    Continued,
}

/// The signals of this process, caught from now on.
pub(crate) struct Signals {
    passed_on: Vec<(u32, Signal)>,
    resized: Signal,
    continued: Signal,
    /// Came before they could be passed on.
    waiting: VecDeque<Received>,
}

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        let caught = |number: i32| Ok((number.unsigned_abs(), signal(SignalKind::from_raw(number))?));
        // Whoever typed `nohup` wants this and its container to outlive the terminal.
        let outlives = ignores(std::process::id(), libc::SIGHUP.unsigned_abs());
        let passed_on = passed_on().filter(|signal| *signal != libc::SIGHUP || !outlives);
        Ok(Self {
            passed_on: passed_on.map(caught).collect::<std::io::Result<_>>()?,
            resized: signal(SignalKind::window_change())?,
            continued: signal(SignalKind::from_raw(libc::SIGCONT))?,
            waiting: VecDeque::new(),
        })
    }

    /// Fails if a signal has come.
    pub(crate) fn check(&mut self) -> Result<(), Interrupted> {
        for (number, signal) in &mut self.passed_on {
            if signal.recv().now_or_never().flatten().is_some() {
                return Err(Interrupted(*number));
            }
        }
        Ok(())
    }

    /// Does a step that a signal interrupts. The step may finish all the same if it is quick; a
    /// second signal does not even wait for that.
    pub(crate) async fn interrupt<T>(&mut self, step: impl Future<Output = T>) -> Result<T, Interrupted> {
        let mut step = std::pin::pin!(step);
        let signal = tokio::select! {
            done = &mut step => return Ok(done),
            signal = self.next_signal() => signal,
        };
        tokio::select! {
            _ = tokio::time::timeout(SIGNAL_GRACE_TIMEOUT, step) => {}
            _ = self.next_signal() => {}
        }
        Err(Interrupted(signal))
    }

    /// Does the step that has the container run: it may run before the step has finished, so what
    /// comes meanwhile waits to be passed on. It does not wait for long.
    pub(crate) async fn keep<T>(&mut self, step: impl Future<Output = T>) -> Result<T, Interrupted> {
        let mut step = std::pin::pin!(step);
        let signal = loop {
            let received = tokio::select! {
                done = &mut step => return Ok(done),
                received = self.receive() => received,
            };
            self.waiting.push_back(received);
            if let Received::Signal(signal) = received {
                break signal;
            }
        };
        let done = tokio::time::timeout(SIGNAL_GRACE_TIMEOUT, step).await;
        done.map_err(|_| Interrupted(signal))
    }

    /// Does a step that comes after the container's end, for which signals do not matter any more;
    /// one that asks for the end only keeps it from taking for ever.
    pub(crate) async fn bound<T>(&mut self, step: impl Future<Output = T>) -> Result<T, Interrupted> {
        let mut step = std::pin::pin!(step);
        let signal = loop {
            tokio::select! {
                done = &mut step => return Ok(done),
                signal = self.next_signal() => if asks_for_the_end(signal) {
                    break signal;
                },
            }
        };
        tokio::time::timeout(SIGNAL_GRACE_TIMEOUT, step).await.map_err(|_| Interrupted(signal))
    }

    /// Waits for the next one that is passed on.
    pub(crate) async fn next_signal(&mut self) -> u32 {
        loop {
            if let Received::Signal(signal) = self.next().await {
                return signal;
            }
        }
    }

    /// The next one, of those that wait or that are still to come.
    pub(crate) async fn next(&mut self) -> Received {
        match self.waiting.pop_front() {
            Some(received) => received,
            None => self.receive().await,
        }
    }

    async fn receive(&mut self) -> Received {
        let passed_on = self.passed_on.iter_mut().map(|(number, signal)| {
            async move {
                signal.recv().await;
                Received::Signal(*number)
            }
            .boxed_local()
        });
        let resized = async {
            self.resized.recv().await;
            Received::Resized
        };
        let continued = async {
            self.continued.recv().await;
            Received::Continued
        };
        let all = passed_on.chain([resized.boxed_local(), continued.boxed_local()]);
        select_all(all).await.0
    }
}

/// Whether a signal is meant to end a process that does nothing about it.
pub(crate) fn ends(signal: u32) -> bool {
    signal == PIPE || passed_on().any(|passed_on| passed_on.unsigned_abs() == signal)
}

/// Whether a signal is a request to end a program.
pub(crate) fn asks_for_the_end(signal: u32) -> bool {
    [PIPE, libc::SIGHUP.unsigned_abs(), libc::SIGINT.unsigned_abs(), libc::SIGQUIT.unsigned_abs()].contains(&signal)
        || signal == libc::SIGTERM.unsigned_abs()
}

/// A container's init before its program runs: runc's own code, which swallows signals.
pub(crate) struct Init {
    pid: u32,
    /// What runs in it, by name: a process that has confined itself cannot find out which file it
    /// is.
    runs: Option<Vec<u8>>,
    created: Instant,
}

impl Init {
    /// How often it is looked at, and how often at most: `exec` takes a few milliseconds.
    const PERIOD: Duration = Duration::from_millis(2);
    const ROUNDS: u32 = 1000;
    /// How long it is new, and how often it is looked at then.
    const NEW: Duration = Duration::from_secs(5);
    const LOOKS: u32 = 5;

    /// The init of a container that has been created and not started.
    pub(crate) fn created(pid: u32) -> Self {
        Self { pid, runs: program_name(pid), created: Instant::now() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the kernel has kept a signal from it.
    ///
    /// Of a program that has just begun the name is seen first, and only then that the handlers of runc's
    /// own code are gone; a signal in between is lost. So it is looked at again for a moment.
    pub(crate) async fn keeps_out(&self, signal: u32) -> bool {
        for _ in 0..if self.created.elapsed() < Self::NEW { Self::LOOKS } else { 1 } {
            if is_kept_from(self.pid, signal) {
                return true;
            }
            tokio::time::sleep(Self::PERIOD).await;
        }
        false
    }

    /// Waits until the container's program has taken the place of runc's.
    pub(crate) async fn has_become_the_program(&mut self) {
        for _ in 0..Self::ROUNDS {
            if self.runs.is_none() || program_name(self.pid) != self.runs {
                break;
            }
            tokio::time::sleep(Self::PERIOD).await;
        }
        self.runs = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_end_programs_are_known() {
        assert!(ends(15) && ends(PIPE) && !ends(17));
    }
}
