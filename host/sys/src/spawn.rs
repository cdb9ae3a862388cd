//! Starting processes with exactly the descriptors that they are to have.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::fs::{Access, CWD, FileType, Mode, OFlags, RawDir, Stat, access, fstat, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

/// The number of the first descriptor that is handed over.
const FIRST: RawFd = 3;
/// How often a process is started again.
const ATTEMPTS: u32 = 16;

/// How a process is set apart from us, so that signals of our terminal do not reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// In a process group of its own.
    Group,
    /// In a session of its own, without a terminal.
    Session,
}

/// Hands descriptors over to a process that is to be started: the first becomes descriptor 3, the
/// next 4, and so on. Nothing else above 2 reaches it, whatever a library of ours has left open
/// (CVE-2019-5736, CVE-2024-21626). It gets the usual umask.
pub fn hand_over(command: &mut Command, descriptors: &[&dyn AsFd], apart: Apart) -> io::Result<()> {
    // First they are parked above the numbers that they will get.
    let above = RawFd::try_from(descriptors.len()).map_or(RawFd::MAX, |count| FIRST + count);
    let parked: Vec<OwnedFd> = descriptors
        .iter()
        .map(|descriptor| fcntl_dupfd_cloexec(descriptor.as_fd(), above).map_err(io::Error::from))
        .collect::<io::Result<_>>()?;
    let reserved = Reserved::new(&parked)?;
    let start = move || {
        rustix::process::umask(Mode::WGRP | Mode::WOTH);
        if apart == Apart::Session {
            rustix::process::setsid()?;
        }
        reserved.check()?;
        let mut next = FIRST;
        for descriptor in &parked {
            duplicate(descriptor.as_raw_fd(), next)?;
            next += 1;
        }
        close_on_exec_from(next)
    };
    if apart == Apart::Group {
        command.process_group(0);
    }
    #[expect(unsafe_code, reason = "there is no safe way to choose the descriptors of a child")]
    // SAFETY: between fork and exec only async-signal-safe system calls are made: umask, setsid,
    // fstat, dup2, close_range, fcntl, open, getdents. Nothing is allocated or freed.
    unsafe {
        command.pre_exec(start)
    };
    Ok(())
}

/// Starts a process, once more if its descriptors could not be handed over: another thread of ours
/// has got in between.
pub fn persistently<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..ATTEMPTS {
        match start() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            started => return started,
        }
    }
    start()
}

/// Whether a path leads to a file that we may execute.
#[must_use]
pub fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

/// The numbers that descriptors will get, kept from others until the process is started. Otherwise
/// the pipe through which the child reports a failed `exec`, created in between, could be
/// overwritten, and the failure taken for success.
struct Reserved {
    _held: Vec<OwnedFd>,
    /// The file at each number, as device and inode.
    files: Vec<(u64, u64)>,
}

impl Reserved {
    fn new(parked: &[OwnedFd]) -> io::Result<Self> {
        loop {
            match Self::reserve(parked) {
                // A descriptor of another thread was closed meanwhile, so its number is free now.
                Err(error) if error.raw_os_error() == Some(Errno::BADF.raw_os_error()) => {}
                reserved => return reserved,
            }
        }
    }

    fn reserve(parked: &[OwnedFd]) -> io::Result<Self> {
        let mut held = Vec::new();
        if let Some(any) = parked.first() {
            // Each duplicate takes the lowest number that is free.
            loop {
                let duplicate = fcntl_dupfd_cloexec(any, 3)?;
                let number = usize::try_from(duplicate.as_raw_fd()).unwrap_or(usize::MAX);
                if number >= 3 + parked.len() {
                    break;
                }
                held.push(duplicate);
            }
        }
        let files = (3..).zip(parked).map(|(number, _)| {
            let found = stat_at(number)?;
            Ok((found.st_dev, found.st_ino))
        });
        let files = files.collect::<io::Result<_>>()?;
        Ok(Self { _held: held, files })
    }

    /// Refuses, in the child, if another thread of the parent has closed one of the numbers and a
    /// pipe has got it.
    fn check(&self) -> io::Result<()> {
        for (number, file) in (3..).zip(&self.files) {
            let Ok(found) = stat_at(number) else { continue };
            let is_pipe = matches!(FileType::from_raw_mode(found.st_mode), FileType::Fifo | FileType::Socket);
            if is_pipe && (found.st_dev, found.st_ino) != *file {
                return Err(Errno::AGAIN.into());
            }
        }
        Ok(())
    }
}

fn stat_at(number: RawFd) -> io::Result<Stat> {
    #[expect(unsafe_code, reason = "a descriptor that may be anybody's is known by its number only")]
    // SAFETY: it is borrowed for one call, which answers EBADF if it is not open.
    let number = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(fstat(number)?)
}

fn duplicate(from: RawFd, to: RawFd) -> io::Result<()> {
    #[expect(unsafe_code, reason = "the target is a bare number, which the child owns")]
    // SAFETY: `dup2` takes any numbers; what `to` was is of the child's own table.
    let result = unsafe { libc::dup2(from, to) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes `exec` close every descriptor from a number on. Allocates nothing.
pub(crate) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    let flags = i32::try_from(libc::CLOSE_RANGE_CLOEXEC).unwrap_or_default();
    #[expect(unsafe_code, reason = "close_range takes bare numbers")]
    // SAFETY: it sets a flag on descriptors of the child's own table.
    let result = unsafe { libc::close_range(first.unsigned_abs(), u32::MAX, flags) };
    // Before Linux 5.11, or hidden by a seccomp profile: one by one.
    if result == 0 { Ok(()) } else { close_listed_from(first) }
}

/// The same for those that `/proc` lists: the limit of their number may be a billion.
fn close_listed_from(first: RawFd) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = openat(CWD, c"/proc/self/fd", flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
    let mut listing = RawDir::new(&open, &mut buffer);
    while let Some(entry) = listing.next() {
        let Some(number) = entry?.file_name().to_str().ok().and_then(|name| name.parse::<RawFd>().ok()) else {
            continue;
        };
        if number >= first {
            #[expect(unsafe_code, reason = "setting a flag of a descriptor by its number")]
            // SAFETY: `F_SETFD` on a number that is not open answers EBADF and does nothing.
            unsafe {
                libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC)
            };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_close_range_descriptors_are_found_all_the_same() {
        let open = std::fs::File::open("/dev/null").unwrap();
        let high = fcntl_dupfd_cloexec(&open, 200).unwrap();
        rustix::io::fcntl_setfd(&high, rustix::io::FdFlags::empty()).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("test ! -e /proc/self/fd/{}", high.as_raw_fd())]);
        assert!(!command.status().unwrap().success());
        #[expect(unsafe_code, reason = "this is what is tested")]
        // SAFETY: it allocates nothing.
        unsafe {
            command.pre_exec(|| close_listed_from(3));
        }
        assert!(command.status().unwrap().success());
    }

    #[test]
    fn a_program_that_is_missing_is_told_whichever_numbers_are_free() {
        let open = std::fs::File::open("/dev/null").unwrap();
        // Other tests open and close descriptors meanwhile.
        for _ in 0..50 {
            let error = persistently(|| {
                let mut command = Command::new("/no/such/program");
                hand_over(&mut command, &[&open, &open, &open, &open], Apart::Session)?;
                command.spawn()
            });
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }
}
