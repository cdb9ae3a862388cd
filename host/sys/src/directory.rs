//! A directory handle with the path it was opened by (for messages, never to be opened again).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, RenameFlags, SeekFrom, flock, fsync, openat, renameat_with, seek, statx,
};
use rustix::io::Errno;

use crate::metadata::{mask, metadata_at, metadata_of, translate};
use crate::open::open_below;
use crate::{Crossing, Failure, FileIdentity, FileKind, Metadata, Name, Result, retry};

/// An open directory: the authority over what lies in it.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    identity: OnceLock<FileIdentity>,
    /// Whether it has been listed: the offset belongs to the handle.
    listed: AtomicBool,
}

impl Directory {
    /// Wraps a handle whose path is known.
    pub fn from_fd_unchecked(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path, identity: OnceLock::new(), listed: AtomicBool::new(false) }
    }

    /// Which directory it is; `None` only if the file system does not answer.
    pub fn identity(&self) -> Option<FileIdentity> {
        self.identity.get().copied().or_else(|| self.metadata().ok().map(|metadata| metadata.identity()))
    }

    /// The path it was opened by, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of an entry, for messages.
    pub fn path_of(&self, name: &Name) -> PathBuf {
        self.path.join(name.as_path())
    }

    /// Opens a directory in this one.
    pub fn open_directory(&self, name: &Name, crossing: Crossing) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let path = self.path_of(name);
        match open_below(self.as_fd(), name, flags, Mode::empty(), crossing) {
            Ok(fd) => Ok(Self::from_fd_unchecked(fd, path)),
            Err(errno) => Err(Failure::new("openat2", path, errno)),
        }
    }

    /// The same handle under another path.
    pub fn at(self, path: PathBuf) -> Self {
        Self { path, ..self }
    }

    /// The directory that this one lies in now.
    pub fn parent(&self) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = self.path.join("..");
        match retry(|| openat(&self.fd, c"..", flags, Mode::empty())) {
            Ok(fd) => Ok(Self::from_fd_unchecked(fd, path)),
            Err(errno) => Err(Failure::new("openat", path, errno)),
        }
    }

    /// Another handle of the same directory, which shares no lock and no offset with this one.
    pub fn reopen(&self) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match retry(|| openat(&self.fd, c".", flags, Mode::empty())) {
            Ok(fd) => Ok(Self::from_fd_unchecked(fd, self.path.clone())),
            Err(errno) => Err(Failure::new("openat", &self.path, errno)),
        }
    }

    /// The content of a regular file of at most `limit` bytes. Never blocks: a FIFO is opened with
    /// `O_NONBLOCK` and then refused.
    pub fn read_file(&self, name: &Name, limit: u64) -> Result<Vec<u8>> {
        let fail = |call, errno| Failure::new(call, self.path_of(name), errno);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd =
            open_below(self.as_fd(), name, flags, Mode::empty(), Crossing::Refused).map_err(|errno| match errno {
                // Opening a socket, or a device without a driver.
                Errno::NXIO | Errno::NODEV => fail("openat2", Errno::INVAL).with("not a regular file"),
                errno => fail("openat2", errno),
            })?;
        let metadata = metadata_of(fd.as_fd()).map_err(|errno| fail("statx", errno))?;
        match metadata.kind {
            FileKind::Regular => {}
            FileKind::Directory => return Err(fail("read", Errno::ISDIR)),
            FileKind::Link | FileKind::Socket | FileKind::Other => {
                return Err(fail("read", Errno::INVAL).with("not a regular file"));
            }
        }
        if metadata.size > limit {
            return Err(fail("read", Errno::FBIG).with(format!("{} bytes, at most {limit} allowed", metadata.size)));
        }
        read_at_most(fd.as_fd(), limit).map_err(|errno| fail("read", errno))
    }

    /// What the directory itself is.
    pub fn metadata(&self) -> Result<Metadata> {
        let metadata = metadata_of(self.as_fd()).map_err(|errno| Failure::new("statx", &self.path, errno))?;
        self.identity.get_or_init(|| metadata.identity());
        Ok(metadata)
    }

    /// What an entry is; a link is not followed.
    pub fn metadata_at(&self, name: &Name) -> Result<Metadata> {
        metadata_at(self.as_fd(), name).map_err(|errno| Failure::new("statx", self.path_of(name), errno))
    }

    /// What this directory is, if a name leads to it.
    pub fn metadata_if_at(&self, parent: &Self, name: &Name) -> Result<Option<Metadata>> {
        match parent.metadata_at(name) {
            Ok(found) => Ok((Some(found.identity()) == self.identity()).then_some(found)),
            Err(failure) if failure.errno() == Errno::NOENT => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Like [`Directory::metadata_at`], but does not ask the server of a file system that is
    /// mounted there: it may be gone, and would never answer.
    pub(crate) fn mount_metadata_at(&self, name: &Name) -> Result<Metadata> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
        retry(|| statx(self.as_fd(), name.as_c_str(), flags, mask()))
            .map(|stat| translate(&stat))
            .map_err(|errno| Failure::new("statx", self.path_of(name), errno))
    }

    /// Puts the offset of the handle to the start of the listing.
    pub(crate) fn begin_listing(&self) -> rustix::io::Result<()> {
        if self.listed.swap(true, Ordering::Relaxed) {
            seek(&self.fd, SeekFrom::Start(0))?;
        }
        Ok(())
    }

    /// Renames an entry to an unused name, here or in another directory.
    pub fn rename(&self, from: &Name, to_directory: &Self, to: &Name) -> Result<()> {
        retry(|| {
            renameat_with(self.as_fd(), from.as_c_str(), to_directory.as_fd(), to.as_c_str(), RenameFlags::NOREPLACE)
        })
        .map_err(|errno| {
            Failure::new("renameat2", self.path_of(from), errno)
                .with(format!("{:?}, RENAME_NOREPLACE", to_directory.path_of(to)))
        })
    }

    /// Takes the exclusive lock of the directory if it is free.
    pub fn try_lock(&self) -> Result<bool> {
        match retry(|| flock(&self.fd, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(Failure::new("flock", &self.path, errno).with("LOCK_EX")),
        }
    }

    /// Gives the lock back, for all copies of the handle that a fork may have made.
    pub fn unlock(&self) {
        if let Err(errno) = flock(&self.fd, FlockOperation::Unlock) {
            tracing::warn!(path = %self.path.display(), %errno, "cannot unlock a directory");
        }
    }

    /// Writes the directory's entries to the disk.
    pub fn sync(&self) -> Result<()> {
        let synced = retry(|| fsync(&self.fd)).or_else(|errno| match errno {
            // A handle for passing only (`O_PATH`), as ancestors have.
            Errno::BADF => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                openat(&self.fd, c".", flags, Mode::empty()).and_then(fsync)
            }
            errno => Err(errno),
        });
        synced.map_err(|errno| Failure::new("fsync", &self.path, errno))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Reads a regular file to its end, but refuses one that grows past the limit meanwhile.
fn read_at_most(fd: BorrowedFd<'_>, limit: u64) -> rustix::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let count = retry(|| rustix::io::read(fd, &mut buffer))?;
        if count == 0 {
            return Ok(content);
        }
        content.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if content.len() as u64 > limit {
            return Err(Errno::FBIG);
        }
    }
}
