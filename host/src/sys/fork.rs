//! Splitting this process in two.

use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::process::Pid;

/// Which of the two processes this is.
pub(crate) enum Side {
    Parent(Pid),
    Child,
}

/// Forks a process that has no other threads.
pub(crate) fn fork() -> std::io::Result<Side> {
    #[expect(unsafe_code, reason = "a copy of a process has no safe wrapper")]
    // SAFETY: the caller has made sure that this is the only thread, so the child is as whole as
    // its parent: no lock is held by a thread that it lacks.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(Pid::from_raw(child).map_or(Side::Child, Side::Parent))
}

/// Closes everything in this process but its standard streams and one descriptor, if the kernel can
/// (close_range(2)). For the child of [`fork`], which uses nothing that it has inherited, and never
/// returns to who would.
pub(crate) fn close_all_but(kept: &OwnedFd) {
    let kept = kept.as_raw_fd().unsigned_abs();
    for (first, last) in [(3, kept.saturating_sub(1)), (kept.saturating_add(1), u32::MAX)] {
        if first <= last {
            #[expect(unsafe_code, reason = "close_range takes bare numbers")]
            // SAFETY: whoever owns one of these is in a frame that is never returned to.
            let _ = unsafe { libc::close_range(first, last, 0) };
        }
    }
}

/// Has no signal end this process but those that nothing can catch, those of its own faults, and
/// those that stop it.
pub(crate) fn survive_signals() {
    extern "C" fn nothing(_: libc::c_int) {}
    let handler = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    let ordinary = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGALRM,
        libc::SIGTERM,
        libc::SIGSTKFLT,
        libc::SIGXCPU,
        libc::SIGXFSZ,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGIO,
        libc::SIGPWR,
    ];
    for signal in ordinary.into_iter().chain(libc::SIGRTMIN()..=libc::SIGRTMAX()) {
        #[expect(unsafe_code, reason = "signal handlers have no safe interface")]
        // SAFETY: the handler does nothing, which is async-signal-safe. (Ignored signals would stay
        // ignored in what is started; a handler does not outlive `exec`.)
        unsafe {
            libc::signal(signal, handler)
        };
    }
}
