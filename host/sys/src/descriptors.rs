//! What a child inherits, and descriptors that are held in reserve.

use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::spawn::close_on_exec_from;
use crate::{Directory, Failure};

/// Lets a child inherit its three standard streams and nothing else.
///
/// Whatever else is open in this process (by libraries too, which may have forgotten `O_CLOEXEC`)
/// would reach a container's runtime, and through it perhaps the container (CVE-2024-21626).
pub fn keep_descriptors_private(command: &mut Command) {
    #[expect(unsafe_code, reason = "there is no other way to run something between fork and exec")]
    // SAFETY: between fork and exec only system calls are made: nothing allocates or takes a lock.
    unsafe {
        command.pre_exec(|| close_on_exec_from(3));
    }
}

/// Descriptors that are reserved until they are dropped: handles of a directory.
pub fn spare_descriptors(directory: &Directory, count: usize) -> crate::Result<Vec<OwnedFd>> {
    let duplicate = |_| {
        rustix::io::fcntl_dupfd_cloexec(directory, 0)
            .map_err(|errno| Failure::new("fcntl", directory.path().to_owned(), errno).with("F_DUPFD_CLOEXEC"))
    };
    (0..count).map(duplicate).collect()
}

/// Takes over a descriptor that the parent process has handed over. It is not passed on.
pub fn inherited(number: RawFd) -> OwnedFd {
    #[expect(unsafe_code, reason = "a descriptor that is handed over is known by its number only")]
    // SAFETY: a process that is started with descriptors takes each of them once, before it opens
    // anything else. If it is started by hand they may be closed: every use fails with EBADF.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    let _ = rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC);
    descriptor
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_child_sees_its_standard_streams_only() {
        let open = std::fs::File::open("/dev/null").unwrap();
        rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("test ! -e /proc/self/fd/{}", open.as_raw_fd())]);
        assert!(!command.status().unwrap().success());
        keep_descriptors_private(&mut command);
        assert!(command.status().unwrap().success());
    }
}
