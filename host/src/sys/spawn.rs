//! Starting processes with exactly the descriptors that they are to have.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::fs::Mode;
use rustix::io::fcntl_dupfd_cloexec;

/// Descriptors that are handed over are parked above the numbers they will get.
const PARKED: RawFd = 64;

/// Hands descriptors over to a process that is to be started: the first becomes descriptor 3, the
/// next 4, and so on. Nothing else above 2 reaches it, whatever a library of ours has left open
/// (CVE-2019-5736, CVE-2024-21626). It gets the usual umask, and a process group of its own.
pub(crate) fn hand_over(command: &mut Command, descriptors: &[&dyn AsFdObject]) -> io::Result<()> {
    let parked: Vec<OwnedFd> = descriptors
        .iter()
        .map(|descriptor| fcntl_dupfd_cloexec(descriptor.as_fd(), PARKED).map_err(io::Error::from))
        .collect::<io::Result<_>>()?;
    let start = move || {
        rustix::process::umask(Mode::WGRP | Mode::WOTH);
        let mut next: RawFd = 3;
        for descriptor in &parked {
            duplicate(descriptor.as_raw_fd(), next)?;
            next += 1;
        }
        close_on_exec_from(next)
    };
    command.process_group(0);
    #[expect(unsafe_code, reason = "there is no safe way to choose the descriptors of a child")]
    // SAFETY: between fork and exec only async-signal-safe system calls are made: umask, dup2,
    // close_range, fcntl. Nothing is allocated or freed.
    unsafe {
        command.pre_exec(start)
    };
    Ok(())
}

/// What has a descriptor.
pub(crate) trait AsFdObject {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_>;
}

impl<T: AsFd> AsFdObject for T {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        AsFd::as_fd(self)
    }
}

fn duplicate(from: RawFd, to: RawFd) -> io::Result<()> {
    #[expect(unsafe_code, reason = "the target is a bare number, which the child owns")]
    // SAFETY: `dup2` takes any numbers; what `to` was is of the child's own table.
    let result = unsafe { libc::dup2(from, to) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has every descriptor from a number on closed by `exec`.
pub(super) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    let flags = i32::try_from(libc::CLOSE_RANGE_CLOEXEC).unwrap_or_default();
    #[expect(unsafe_code, reason = "close_range takes bare numbers")]
    // SAFETY: it sets a flag on descriptors of the child's own table.
    let result = unsafe { libc::close_range(first.unsigned_abs(), u32::MAX, flags) };
    if result == 0 {
        return Ok(());
    }
    // Before Linux 5.11, or hidden by a seccomp profile: one by one.
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
    for number in first..i32::try_from(most).unwrap_or(1 << 20) {
        #[expect(unsafe_code, reason = "asking for a descriptor by its number")]
        // SAFETY: `F_SETFD` on a number that is not open answers EBADF and does nothing.
        unsafe {
            libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC)
        };
    }
    Ok(())
}
