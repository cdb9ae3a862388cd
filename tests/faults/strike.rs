//! One run of a command with one fault in it.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dunnage_tests::binary::{self, Outcome};
use dunnage_tests::strace;

use crate::calls;

/// How long a command may take under strace before it counts as hanging.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It returns an error, and has done nothing.
    Error(&'static str),
    /// The process is killed before the call does anything.
    Kill,
}

/// A fault, and where: at the `nth` call of that kind of a thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) call: &'static str,
    pub(crate) nth: usize,
    pub(crate) fault: Fault,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Error(error) => write!(f, "{error} from {} number {}", self.call, self.nth),
            Fault::Kill => write!(f, "SIGKILL at {} number {}", self.call, self.nth),
        }
    }
}

impl Point {
    /// Whether recovery comes right after the crash; else it comes last. Every other point.
    pub(crate) fn recovers_first(&self) -> bool {
        self.nth.is_multiple_of(2)
    }

    /// As options of strace. The signal is sent before the call, which then does not happen.
    pub(crate) fn injection(&self) -> String {
        match self.fault {
            Fault::Error(error) => format!("--inject={}:error={error}:when={}", self.call, self.nth),
            Fault::Kill => format!("--inject={}:signal=KILL:when={}", self.call, self.nth),
        }
    }
}

/// Which processes that a command starts are traced too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Following {
    /// Its threads, and its broker; it starts nothing else.
    Threads,
    /// Its threads, and what it forks until that runs another program: strace lets go of that.
    UntilExec,
}

impl Following {
    fn options(self, point: Option<&Point>) -> &'static [&'static str] {
        match (self, point.map(|point| point.fault)) {
            // The filter makes everything but the calls in question fast.
            (Self::Threads, Some(Fault::Error(_)) | None) => &["-f", "-q", "-y", "--seccomp-bpf"],
            // With the filter no signal is sent.
            (Self::Threads, Some(Fault::Kill)) => &["-f", "-q", "-y"],
            // The filter would be inherited, and without a tracer its calls fail.
            (Self::UntilExec, _) => &["-f", "-q", "-y", "--detach-on=execve"],
        }
    }
}

/// What strace has seen.
#[derive(Debug, Default)]
pub(crate) struct Log(Vec<String>);

impl Log {
    /// Reads and removes a log.
    pub(crate) fn take(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let _ = fs::remove_file(path);
        Self(text.lines().map(str::to_owned).collect())
    }

    /// The lines of the calls at which the fault has come; none if it has not.
    pub(crate) fn fired(&self) -> Vec<String> {
        let mut last: HashMap<&str, &str> = HashMap::new();
        let mut fired = Vec::new();
        for line in &self.0 {
            let Some((process, call)) = line.split_once(' ') else { continue };
            let call = call.trim_start();
            let before = last.get(process).copied().unwrap_or_default();
            if call.ends_with("(INJECTED)") {
                // Another thread's call may have come between the two halves of this one's line.
                let is_second_half = call.starts_with("<... ");
                fired.push(if is_second_half { format!("{before} {call}") } else { call.to_owned() });
            } else if call.starts_with("+++ killed by SIGKILL") {
                fired.push(before.to_owned());
            }
            last.insert(process, call);
        }
        fired
    }

    /// Which call of its thread it was that had a text among its arguments.
    pub(crate) fn nth(&self, call: &str, text: &str) -> Option<usize> {
        let found = self.0.iter().find(|line| line.contains(&format!(" {call}(")) && line.contains(text))?;
        let (process, _) = found.split_once(' ')?;
        let before = self.0.iter().take_while(|line| *line != found);
        Some(1 + before.filter(|line| line.starts_with(process) && line.contains(&format!(" {call}("))).count())
    }

    /// Which calls were made.
    pub(crate) fn census(&self) -> Census {
        let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
        let mut census = Census::default();
        for line in &self.0 {
            let Some((process, rest)) = line.split_once(' ') else { continue };
            let text = rest.trim_start();
            let called = text.split_once('(').map(|(call, _)| call);
            let Some(kind) = calls::KINDS.iter().find(|kind| Some(kind.call) == called) else { continue };
            let nth = counts.entry((process, kind.call)).or_default();
            let errors = census.0.entry(kind.call).or_default();
            if errors.len() <= *nth {
                errors.push(true);
            }
            errors[*nth] &= calls::may_fail(text);
            *nth += 1;
        }
        census
    }
}

/// How often each kind of call was made, by the thread that made most of them, and whether an
/// error there is one that can be.
#[derive(Debug, Default)]
pub(crate) struct Census(HashMap<&'static str, Vec<bool>>);

impl Census {
    /// How often a call was made.
    pub(crate) fn count(&self, call: &str) -> usize {
        self.0.get(call).map_or(0, Vec::len)
    }

    /// Whether an error can come at every thread's `nth` call.
    pub(crate) fn may_fail(&self, call: &str, nth: usize) -> bool {
        self.0.get(call).and_then(|errors| errors.get(nth - 1)).is_none_or(|may_fail| *may_fail)
    }
}

/// A command that was struck.
#[derive(Debug)]
pub(crate) struct Struck {
    pub(crate) outcome: Outcome,
    pub(crate) log: Log,
}

impl Struck {
    /// The error that the message of a failure must name.
    pub(crate) fn cause(&self, point: &Point) -> Option<&'static str> {
        let Fault::Error(error) = point.fault else { return None };
        // An error of `close` shows later at best, in what is busy because the descriptor is open.
        let shows_later = point.call == "close";
        // What could not be opened for Landlock is closed to us from then on, and that is the error.
        let for_landlock =
            self.log.fired().iter().any(|call| call.contains("O_PATH)") || call.contains("O_PATH <unfinished"));
        let is_denied = self.outcome.stderr.contains("(os error 13)");
        let says_another = shows_later || (for_landlock && is_denied);
        (!says_another).then_some(error)
    }
}

/// Runs a command with a fault in it, or with none to see all its calls.
pub(crate) fn strike(command: &Command, following: Following, log: &Path, point: Option<&Point>) -> Struck {
    let (trace, injection) = match point {
        Some(point) => (format!("--trace={}", point.call), Some(point.injection())),
        None => (format!("--trace={}", calls::all()), None),
    };
    let log_name = log.to_str().expect("a path in UTF-8");
    let options = following.options(point).iter().copied().chain(["-o", log_name, &trace]).chain(injection.as_deref());
    let mut traced = strace::traced_exactly(command, options);
    // cargo sets it, and the loader would look for its libraries in a dozen directories.
    traced.env_remove("LD_LIBRARY_PATH").process_group(0);
    let outcome = binary::run_within(COMMAND_TIMEOUT, &mut traced, []);
    Struck { outcome, log: Log::take(log) }
}
