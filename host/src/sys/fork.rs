//! Splitting this process in two.

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
