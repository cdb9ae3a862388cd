//! Opening what lies below a directory handle: `openat2(2)`, and a way without it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use crate::mount_id::mount_id;
use crate::{Name, retry};

/// Whether opening may lead into another mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossing {
    /// A mount point is refused with `EXDEV`.
    Refused,
    /// A mount point is entered.
    Allowed,
}

/// Set once `openat2` has shown to be missing (before Linux 5.6) or hidden (seccomp profiles of
/// old container engines answer `EPERM`).
static OPENAT2_MISSING: AtomicBool = AtomicBool::new(false);

/// Opens one component below a directory. Links are never followed.
pub(crate) fn open_below(
    directory: BorrowedFd<'_>,
    name: &Name,
    flags: OFlags,
    mode: Mode,
    crossing: Crossing,
) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if !OPENAT2_MISSING.load(Ordering::Relaxed) {
        match open_with_openat2(directory, name, flags, mode, crossing) {
            Err(Errno::NOSYS) => OPENAT2_MISSING.store(true, Ordering::Relaxed),
            // EPERM is a seccomp profile, or a real refusal (a sealed or immutable file). The
            // fall-back tells which: it succeeds only where the profile was to blame.
            Err(Errno::PERM) => {
                let opened = open_by_component(directory, name, flags, mode, crossing)?;
                OPENAT2_MISSING.store(true, Ordering::Relaxed);
                return Ok(opened);
            }
            result => return result,
        }
    }
    open_by_component(directory, name, flags, mode, crossing)
}

fn open_with_openat2(
    directory: BorrowedFd<'_>,
    name: &Name,
    flags: OFlags,
    mode: Mode,
    crossing: Crossing,
) -> rustix::io::Result<OwnedFd> {
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    if crossing == Crossing::Refused {
        resolve |= ResolveFlags::NO_XDEV;
    }
    // EAGAIN: the kernel could not rule out a race with a rename; trying again is its advice.
    let mut attempts = 0;
    loop {
        match retry(|| openat2(directory, name.as_c_str(), flags, mode, resolve)) {
            Err(Errno::AGAIN) if attempts < 8 => attempts += 1,
            result => return result,
        }
    }
}

/// The way without `openat2`. A name is a single component, so `O_NOFOLLOW` leaves only mounts to
/// look for: mount ids tell them apart where device numbers do not (bind mounts).
fn open_by_component(
    directory: BorrowedFd<'_>,
    name: &Name,
    flags: OFlags,
    mode: Mode,
    crossing: Crossing,
) -> rustix::io::Result<OwnedFd> {
    let opened = retry(|| openat(directory, name.as_c_str(), flags, mode))?;
    if crossing == Crossing::Refused && mount_id(opened.as_fd())? != mount_id(directory)? {
        return Err(Errno::XDEV);
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::CWD;

    use super::*;

    type Opener = fn(BorrowedFd<'_>, &Name, OFlags, Mode, Crossing) -> rustix::io::Result<OwnedFd>;

    /// Both ways must give the same answers.
    #[test]
    fn links_files_and_missing_names_are_told_apart() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir(scratch.path().join("directory")).unwrap();
        std::fs::write(scratch.path().join("file"), b"").unwrap();
        symlink("directory", scratch.path().join("link")).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let base = openat(CWD, scratch.path(), flags, Mode::empty()).unwrap();
        for opener in [open_with_openat2 as Opener, open_by_component as Opener] {
            let open =
                |name: &str| opener(base.as_fd(), &Name::new(name).unwrap(), flags, Mode::empty(), Crossing::Refused);
            assert!(open("directory").is_ok());
            assert_eq!(open("file").unwrap_err(), Errno::NOTDIR);
            assert!(matches!(open("link").unwrap_err(), Errno::LOOP | Errno::NOTDIR));
            assert_eq!(open("nothing").unwrap_err(), Errno::NOENT);
        }
    }
}
