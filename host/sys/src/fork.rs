//! Splitting this process in two.

use std::fs::OpenOptions;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::process::{Pid, WaitOptions, setsid, waitpid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::{ordinary_signals, retry};

/// Which of the two processes this is.
pub enum Side {
    /// The parent, with the id of the child.
    Parent(Pid),
    /// The child.
    Child,
}

/// Whether this process has no other threads.
///
/// # Errors
///
/// If `/proc` cannot be read.
pub fn has_one_thread() -> std::io::Result<bool> {
    Ok(std::fs::read_dir("/proc/self/task")?.count() == 1)
}

/// Forks a process that has no other threads.
pub fn fork() -> std::io::Result<Side> {
    #[expect(unsafe_code, reason = "a copy of a process has no safe wrapper")]
    // SAFETY: the caller has made sure that this is the only thread, so the child is as whole as
    // its parent: no lock is held by a thread that it lacks.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(Pid::from_raw(child).map_or(Side::Child, Side::Parent))
}

/// Closes standard input and output, since the processes at their other ends wait for that.
///
/// # Errors
///
/// If `/dev/null` cannot take their place.
pub fn leave_input_and_output() -> std::io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdout(&null)?;
    dup2_stdin(&null)?;
    Ok(())
}

/// Leaves the terminal and the streams, whose readers wait for them to be closed, and everything else
/// that is open but one descriptor. Signals that are meant for the parent reach its child too, if they
/// are sent to all processes of a service: from now on none of them ends this one.
pub fn leave_everything_but(kept: &OwnedFd) {
    let _ = setsid();
    if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = dup2_stdin(&null);
        let _ = dup2_stdout(&null);
        let _ = dup2_stderr(&null);
    }
    close_all_but(kept);
    survive_signals();
}

/// Reaps a child that has closed its end of everything, and so is about to end.
pub fn reap_child(child: Pid) {
    let _ = retry(|| waitpid(Some(child), WaitOptions::empty()));
}

/// Closes everything in this process but its standard streams and one descriptor, if the kernel can
/// (close_range(2)). For the child of [`fork`], which uses nothing that it has inherited, and never
/// returns to code that would.
fn close_all_but(kept: &OwnedFd) {
    let kept = kept.as_raw_fd().unsigned_abs();
    for (first, last) in [(3, kept.saturating_sub(1)), (kept.saturating_add(1), u32::MAX)] {
        if first <= last {
            #[expect(unsafe_code, reason = "close_range takes bare numbers")]
            // SAFETY: the owners of these are in stack frames that are never returned to.
            let _ = unsafe { libc::close_range(first, last, 0) };
        }
    }
}

/// Keeps all signals from ending this process, except those that cannot be caught, those of its own
/// faults, and those that stop it.
fn survive_signals() {
    extern "C" fn nothing(_: libc::c_int) {}
    let handler = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    for signal in ordinary_signals().chain([libc::SIGIO]) {
        #[expect(unsafe_code, reason = "signal handlers have no safe interface")]
        // SAFETY: the handler does nothing, which is async-signal-safe. (Ignored signals would stay
        // ignored in what is started; a handler does not outlive `exec`.)
        unsafe {
            libc::signal(signal, handler)
        };
    }
}
