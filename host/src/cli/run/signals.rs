//! Signals: before the container runs they end the attempt, afterwards they are passed on.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use futures::future::{FutureExt as _, select_all};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signal of a broken pipe.
pub(super) const PIPE: u32 = 13;
/// The signals that are passed on: what users and service managers send. Those of job control
/// (SIGTSTP and the like) are for us alone.
const PASSED_ON: [i32; 6] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTERM];

/// A signal that came before the container was running.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("interrupted by signal {0}")]
pub(super) struct Interrupted(u32);

impl Interrupted {
    pub(super) fn exit_code(self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(u8::MAX)
    }
}

/// What has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A signal to pass on.
    Signal(u32),
    /// The size of our terminal has changed.
    Resized,
}

/// The signals of this process, caught from now on.
pub(super) struct Signals {
    passed_on: Vec<(u32, Signal)>,
    resized: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        let caught = |number: i32| Ok((number.unsigned_abs(), signal(SignalKind::from_raw(number))?));
        Ok(Self {
            passed_on: PASSED_ON.into_iter().map(caught).collect::<std::io::Result<_>>()?,
            resized: signal(SignalKind::window_change())?,
        })
    }

    /// Fails if a signal has come.
    pub(super) fn check(&mut self) -> Result<(), Interrupted> {
        for (number, signal) in &mut self.passed_on {
            if signal.recv().now_or_never().flatten().is_some() {
                return Err(Interrupted(*number));
            }
        }
        Ok(())
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Received {
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
        let all = passed_on.chain(std::iter::once(resized.boxed_local()));
        select_all(all).await.0
    }
}

/// Whether a signal is meant to end a process that does nothing about it.
pub(super) fn ends(signal: u32) -> bool {
    signal == PIPE || PASSED_ON.iter().any(|passed_on| passed_on.unsigned_abs() == signal)
}

/// A container's init before its program runs: runc's own code, which swallows signals.
pub(super) struct Init {
    pid: u32,
    /// What runs in it: device and inode.
    runs: Option<(u64, u64)>,
}

impl Init {
    /// How often it is looked at, and how often at most: `exec` takes a few milliseconds.
    const PERIOD: Duration = Duration::from_millis(2);
    const ROUNDS: u32 = 1000;

    /// The init of a container that has been created and not started.
    pub(super) fn created(pid: u32) -> Self {
        Self { pid, runs: executable(pid) }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the container's program has taken the place of runc's.
    pub(super) async fn has_become_the_program(&mut self) {
        for _ in 0..Self::ROUNDS {
            if self.runs.is_none() || executable(self.pid) != self.runs {
                break;
            }
            tokio::time::sleep(Self::PERIOD).await;
        }
        self.runs = None;
    }
}

fn executable(pid: u32) -> Option<(u64, u64)> {
    let file = std::fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((file.dev(), file.ino()))
}

/// Whether the kernel keeps a signal from a process: it is the init of a pid namespace and does
/// not handle it (pid_namespaces(7)).
pub(super) fn is_kept_from(pid: u32, signal: u32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    // One number for each namespace that it is in, the innermost last.
    let is_init = field("NSpid:").is_some_and(|pids| {
        let mut pids = pids.split_ascii_whitespace();
        pids.next().is_some() && pids.next_back() == Some("1")
    });
    let contains = |set: Option<&str>| {
        let mask = set.and_then(|set| u64::from_str_radix(set, 16).ok()).unwrap_or(u64::MAX);
        mask & (1 << signal.saturating_sub(1)) != 0
    };
    // One that it ignores is its own decision.
    is_init && !contains(field("SigCgt:")) && !contains(field("SigIgn:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_reach_us() {
        // This process is no init, so nothing is kept from it.
        assert!(!is_kept_from(std::process::id(), 15));
        assert!(!is_kept_from(u32::MAX, 15));
        assert!(ends(15) && ends(PIPE) && !ends(17));
    }
}
