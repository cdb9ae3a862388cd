//! Making directories and files with exact owners and modes, whatever the umask, the parent's
//! set-group-id bit and its default ACL say.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, chmod, fchmod, fchown, fsync, mkdirat};
use rustix::io::{Errno, write};

use crate::open::open_below;
use crate::{Crossing, Directory, Failure, Name, Result, acl, effective_ids, retry};

impl Directory {
    /// Makes a directory, opens it, and gives it exactly this mode and our own group.
    ///
    /// Fails with `EEXIST` if the name is taken. On any other failure the directory is removed
    /// again.
    pub fn create_directory(&self, name: &Name, mode: u32) -> Result<Directory> {
        self.make_directory(name, mode)?;
        self.settle_new_directory(name, mode)
    }

    /// Makes a directory in one that we have made, and so has no ACL to inherit: it need
    /// not be opened if its mode and group are right at once.
    pub fn create_subdirectory(&self, name: &Name, mode: u32) -> Result<()> {
        self.make_directory(name, mode)?;
        let (uid, gid) = effective_ids();
        let right = self.metadata_at(name).map(|made| (made.mode, made.uid, made.gid) == (mode, uid, gid));
        if right == Ok(true) { Ok(()) } else { self.settle_new_directory(name, mode).map(drop) }
    }

    fn make_directory(&self, name: &Name, mode: u32) -> Result<()> {
        retry(|| mkdirat(self.as_fd(), name.as_c_str(), Mode::from_raw_mode(mode)))
            .map_err(|errno| Failure::new("mkdirat", self.path_of(name), errno).with(format!("{mode:04o}")))
    }

    fn settle_new_directory(&self, name: &Name, mode: u32) -> Result<Directory> {
        self.open_own_directory(name).and_then(|made| made.settle(mode).map(|()| made)).inspect_err(|failure| {
            // Another process removed it, and what has its name by now may belong to that process.
            if failure.errno() == Errno::NOENT {
                return;
            }
            if let Err(failure) = self.remove_directory(name) {
                tracing::warn!(%failure, "cannot remove a new directory again");
            }
        })
    }

    /// Opens a directory of ours even if its mode keeps us out: a umask may have taken the owner's
    /// own rights from a new one, a container may leave such a one behind.
    pub(crate) fn open_own_directory(&self, name: &Name) -> Result<Directory> {
        match self.open_directory(name, Crossing::Refused) {
            Err(failure) if failure.errno() == Errno::ACCESS => {
                let fail = |call, errno| Failure::new(call, self.path_of(name), errno);
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                let handle = open_below(self.as_fd(), name, flags, Mode::empty(), Crossing::Refused)
                    .map_err(|errno| fail("openat2", errno))?;
                // `fchmod` takes no O_PATH handle, and by name it would follow a swapped link.
                chmod(format!("/proc/self/fd/{}", handle.as_raw_fd()), Mode::RWXU)
                    .map_err(|errno| fail("chmod", errno))?;
                self.open_directory(name, Crossing::Refused)
            }
            result => result,
        }
    }

    /// Gives a directory that was just made exactly this mode, our own group and no ACL.
    fn settle(&self, mode: u32) -> Result<()> {
        let (uid, gid) = effective_ids();
        acl::remove_inherited(self.as_fd()).map_err(|errno| Failure::new("fremovexattr", self.path(), errno))?;
        let found = self.metadata()?;
        if found.uid != uid {
            // A file system that squashes owners cannot hold a bundle.
            return Err(Failure::new("mkdirat", self.path(), Errno::PERM).with("created with a foreign owner"));
        }
        if found.gid != gid {
            self.set_group(gid)?;
        }
        if (found.mode, found.gid) == (mode, gid) {
            return Ok(());
        }
        self.set_mode(mode)?;
        let settled = self.metadata()?;
        if (settled.mode, settled.gid) == (mode, gid) {
            Ok(())
        } else {
            Err(Failure::new("fchmod", self.path(), Errno::NOTSUP)
                .with("the file system does not keep modes or groups"))
        }
    }

    /// Gives the directory to a group.
    pub fn set_group(&self, gid: u32) -> Result<()> {
        change_group(self.as_fd(), gid)
            .map_err(|errno| Failure::new("fchown", self.path(), errno).with(format!("group {gid}")))
    }

    /// Sets exactly these permission bits.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        change_mode(self.as_fd(), mode)
            .map_err(|errno| Failure::new("fchmod", self.path(), errno).with(format!("{mode:04o}")))
    }

    /// Writes a new file: created for us only, given to the group, widened last.
    ///
    /// If anything fails after it was created, the file is removed again.
    pub fn create_file(&self, name: &Name, content: &[u8], mode: u32, group: Option<u32>, durable: bool) -> Result<()> {
        let fail = |call, errno| Failure::new(call, self.path_of(name), errno);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let owner_only = Mode::from_raw_mode(mode & 0o700);
        let fd = open_below(self.as_fd(), name, flags, owner_only, Crossing::Refused)
            .map_err(|errno| fail("openat2", errno).with("O_CREAT | O_EXCL"))?;
        fill(&fd, content, mode, group, durable).map_err(|(call, errno)| {
            if let Err(failure) = self.unlink(name) {
                tracing::warn!(%failure, "cannot remove a new file again");
            }
            fail(call, errno)
        })
    }
}

fn fill(
    fd: &OwnedFd,
    content: &[u8],
    mode: u32,
    group: Option<u32>,
    durable: bool,
) -> std::result::Result<(), (&'static str, Errno)> {
    let mut rest = content;
    while !rest.is_empty() {
        match retry(|| write(fd, rest)).map_err(|errno| ("write", errno))? {
            0 => return Err(("write", Errno::NOSPC)),
            count => rest = rest.get(count..).unwrap_or_default(),
        }
    }
    if let Some(gid) = group {
        change_group(fd.as_fd(), gid).map_err(|errno| ("fchown", errno))?;
    }
    change_mode(fd.as_fd(), mode).map_err(|errno| ("fchmod", errno))?;
    if durable {
        retry(|| fsync(fd)).map_err(|errno| ("fsync", errno))?;
    }
    Ok(())
}

fn change_group(fd: BorrowedFd<'_>, gid: u32) -> rustix::io::Result<()> {
    // `chown` would read this one as "leave it": defect D8 of the original.
    if gid == u32::MAX {
        return Err(Errno::INVAL);
    }
    retry(|| fchown(fd, None, Some(Gid::from_raw(gid))))
}

pub(crate) fn change_mode(fd: BorrowedFd<'_>, mode: u32) -> rustix::io::Result<()> {
    retry(|| fchmod(fd, Mode::from_raw_mode(mode)))
}
