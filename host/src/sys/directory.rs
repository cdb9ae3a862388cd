//! A directory handle with the path it was opened by (for messages, never to be opened again).

use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RawDir, RenameFlags, SeekFrom, Statx, StatxAttributes,
    StatxFlags, flock, fsync, openat, renameat_with, seek, statx,
};
use rustix::io::Errno;

use super::open::{Crossing, open_below};
use super::{Failure, Result, retry};
use crate::name::Name;

/// An open directory: the authority over what lies in it.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    identity: OnceLock<FileIdentity>,
    /// Whether it has been listed: the offset belongs to the handle.
    listed: AtomicBool,
}

/// What kind of file an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    Regular,
    Link,
    Socket,
    Other,
}

/// An entry of a directory, as `getdents64(2)` tells it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Name,
    /// `None` where the file system does not tell.
    pub(crate) kind: Option<Kind>,
}

/// What `statx(2)` tells about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) kind: Kind,
    /// Permission bits with set-user-id, set-group-id and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) links: u32,
    pub(crate) device: (u32, u32),
    pub(crate) inode: u64,
    /// The time of birth where the file system keeps one, else of the last change of the content.
    pub(crate) created: SystemTime,
    /// The time of birth since 1970, where the file system keeps one.
    pub(crate) born: Option<Duration>,
    /// Whether something is mounted here; `None` before Linux 5.8.
    pub(crate) mount_root: Option<bool>,
}

/// Which file it is, however it is called later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct FileIdentity {
    pub(crate) device: (u32, u32),
    pub(crate) inode: u64,
}

impl Metadata {
    pub(crate) fn identity(&self) -> FileIdentity {
        FileIdentity { device: self.device, inode: self.inode }
    }
}

impl Directory {
    /// Wraps a handle whose path is known.
    pub(crate) fn from_fd_unchecked(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path, identity: OnceLock::new(), listed: AtomicBool::new(false) }
    }

    /// Which directory it is; `None` only if the file system does not answer.
    pub(crate) fn identity(&self) -> Option<FileIdentity> {
        self.identity.get().copied().or_else(|| self.metadata().ok().map(|metadata| metadata.identity()))
    }

    /// The path it was opened by, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of an entry, for messages.
    pub(crate) fn path_of(&self, name: &Name) -> PathBuf {
        self.path.join(name.as_path())
    }

    /// Opens a directory in this one.
    pub(crate) fn open_directory(&self, name: &Name, crossing: Crossing) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let path = self.path_of(name);
        match open_below(self.as_fd(), name, flags, Mode::empty(), crossing) {
            Ok(fd) => Ok(Self::from_fd_unchecked(fd, path)),
            Err(errno) => Err(Failure::new("openat2", path, errno)),
        }
    }

    /// The same handle under another path.
    pub(crate) fn at(self, path: PathBuf) -> Self {
        Self { path, ..self }
    }

    /// The directory that this one lies in now.
    pub(crate) fn parent(&self) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = self.path.join("..");
        match retry(|| openat(&self.fd, c"..", flags, Mode::empty())) {
            Ok(fd) => Ok(Self::from_fd_unchecked(fd, path)),
            Err(errno) => Err(Failure::new("openat", path, errno)),
        }
    }

    /// Another handle of the same directory, which shares no lock and no offset with this one.
    pub(crate) fn reopen(&self) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match retry(|| openat(&self.fd, c".", flags, Mode::empty())) {
            Ok(fd) => Ok(Self::from_fd_unchecked(fd, self.path.clone())),
            Err(errno) => Err(Failure::new("openat", &self.path, errno)),
        }
    }

    /// The content of a regular file of at most `limit` bytes. Waits for nobody: a FIFO is opened
    /// with `O_NONBLOCK` and then refused.
    pub(crate) fn read_file(&self, name: &Name, limit: u64) -> Result<Vec<u8>> {
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
            Kind::Regular => {}
            Kind::Directory => return Err(fail("read", Errno::ISDIR)),
            Kind::Link | Kind::Socket | Kind::Other => {
                return Err(fail("read", Errno::INVAL).with("not a regular file"));
            }
        }
        if metadata.size > limit {
            return Err(fail("read", Errno::FBIG).with(format!("{} of at most {limit} bytes", metadata.size)));
        }
        read_at_most(fd.as_fd(), limit).map_err(|errno| fail("read", errno))
    }

    /// What the directory itself is.
    pub(crate) fn metadata(&self) -> Result<Metadata> {
        let metadata = metadata_of(self.as_fd()).map_err(|errno| Failure::new("statx", &self.path, errno))?;
        self.identity.get_or_init(|| metadata.identity());
        Ok(metadata)
    }

    /// What an entry is; a link is not followed.
    pub(crate) fn metadata_at(&self, name: &Name) -> Result<Metadata> {
        metadata_at(self.as_fd(), name).map_err(|errno| Failure::new("statx", self.path_of(name), errno))
    }

    /// What this directory is, if a name leads to it.
    pub(crate) fn metadata_if_at(&self, parent: &Self, name: &Name) -> Result<Option<Metadata>> {
        match parent.metadata_at(name) {
            Ok(found) => Ok((Some(found.identity()) == self.identity()).then_some(found)),
            Err(failure) if failure.errno() == Errno::NOENT => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Like [`Directory::metadata_at`], but asks nobody: the server of a file system that is
    /// mounted there may be gone, and would never answer.
    pub(super) fn mount_metadata_at(&self, name: &Name) -> Result<Metadata> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
        retry(|| statx(self.as_fd(), name.as_c_str(), flags, mask()))
            .map(|stat| translate(&stat))
            .map_err(|errno| Failure::new("statx", self.path_of(name), errno))
    }

    /// Whether there are no entries but `.` and `..`.
    pub(crate) fn is_empty(&self) -> Result<bool> {
        self.list(1).map(|entries| entries.is_empty())
    }

    /// All entries but `.` and `..`.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>> {
        self.list(usize::MAX)
    }

    /// The names of all entries, if they are no more than that.
    pub(crate) fn few_names(&self, most: usize) -> Result<Option<Vec<Name>>> {
        let entries = self.list(most.saturating_add(1))?;
        Ok((entries.len() <= most).then(|| entries.into_iter().map(|entry| entry.name).collect()))
    }

    fn list(&self, most: usize) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        if most > 0 {
            self.each_entry(|entry| {
                entries.push(entry);
                if entries.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(entries)
    }

    /// Visits the entries but `.` and `..`, however many they are, until the visitor has seen enough.
    pub(crate) fn each_entry(&self, mut visit: impl FnMut(Entry) -> ControlFlow<()>) -> Result<()> {
        let fail = |errno| Failure::new("getdents64", &self.path, errno);
        if self.listed.swap(true, Ordering::Relaxed) {
            seek(&self.fd, SeekFrom::Start(0)).map_err(fail)?;
        }
        let mut buffer = [MaybeUninit::<u8>::uninit(); 8192];
        let mut listing = RawDir::new(self.as_fd(), &mut buffer);
        while let Some(entry) = listing.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(fail(errno)),
            };
            // `.` and `..` are no names.
            if let Ok(name) = Name::new(entry.file_name().to_bytes())
                && visit(Entry { name, kind: kind_of(entry.file_type()) }).is_break()
            {
                break;
            }
        }
        Ok(())
    }

    /// Renames an entry to a name that nothing has, here or in another directory.
    pub(crate) fn rename(&self, from: &Name, to_directory: &Self, to: &Name) -> Result<()> {
        retry(|| {
            renameat_with(self.as_fd(), from.as_c_str(), to_directory.as_fd(), to.as_c_str(), RenameFlags::NOREPLACE)
        })
        .map_err(|errno| {
            Failure::new("renameat2", self.path_of(from), errno)
                .with(format!("{:?}, RENAME_NOREPLACE", to_directory.path_of(to)))
        })
    }

    /// Takes the exclusive lock of the directory if nobody has it.
    pub(crate) fn try_lock(&self) -> Result<bool> {
        match retry(|| flock(&self.fd, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(Failure::new("flock", &self.path, errno).with("LOCK_EX")),
        }
    }

    /// Gives the lock back, for all copies of the handle that a fork may have made.
    pub(crate) fn unlock(&self) {
        if let Err(errno) = flock(&self.fd, FlockOperation::Unlock) {
            tracing::warn!(path = %self.path.display(), %errno, "cannot unlock a directory");
        }
    }

    /// Writes the directory's entries to the disk.
    pub(crate) fn sync(&self) -> Result<()> {
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

fn kind_of(kind: FileType) -> Option<Kind> {
    match kind {
        FileType::Directory => Some(Kind::Directory),
        FileType::RegularFile => Some(Kind::Regular),
        FileType::Symlink => Some(Kind::Link),
        FileType::Socket => Some(Kind::Socket),
        FileType::Unknown => None,
        FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => Some(Kind::Other),
    }
}

pub(super) fn metadata_of(fd: BorrowedFd<'_>) -> rustix::io::Result<Metadata> {
    let flags = AtFlags::EMPTY_PATH;
    retry(|| statx(fd, c"", flags, mask())).map(|stat| translate(&stat))
}

pub(super) fn metadata_at(directory: BorrowedFd<'_>, name: &Name) -> rustix::io::Result<Metadata> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    retry(|| statx(directory, name.as_c_str(), flags, mask())).map(|stat| translate(&stat))
}

/// What a path leads to, links followed: for the magic links of `/proc` only.
pub(super) fn metadata_of_target(path: &Path) -> rustix::io::Result<Metadata> {
    let flags = AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    retry(|| statx(CWD, path, flags, mask())).map(|stat| translate(&stat))
}

/// Which file a path leads to: to compare, not to open.
pub(crate) fn path_identity(path: &Path) -> Option<FileIdentity> {
    metadata_of_target(path).ok().map(|metadata| metadata.identity())
}

pub(super) fn metadata_of_path(path: &Path) -> rustix::io::Result<Metadata> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    retry(|| statx(CWD, path, flags, mask())).map(|stat| translate(&stat))
}

fn mask() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME
}

fn translate(stat: &Statx) -> Metadata {
    let mode = u32::from(stat.stx_mode);
    let known = StatxFlags::from_bits_retain(stat.stx_mask);
    let keeps_birth = known.contains(StatxFlags::BTIME);
    let time = if keeps_birth { stat.stx_btime } else { stat.stx_mtime };
    let since = u64::try_from(time.tv_sec).map_or(Duration::ZERO, |seconds| Duration::new(seconds, time.tv_nsec));
    Metadata {
        kind: kind_of(FileType::from_raw_mode(mode)).unwrap_or(Kind::Other),
        mode: mode & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        size: stat.stx_size,
        links: stat.stx_nlink,
        device: (stat.stx_dev_major, stat.stx_dev_minor),
        inode: stat.stx_ino,
        created: SystemTime::UNIX_EPOCH + since,
        born: keeps_birth.then_some(since),
        mount_root: stat
            .stx_attributes_mask
            .contains(StatxAttributes::MOUNT_ROOT)
            .then(|| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
    }
}

/// The id of the mount that a handle lies in: `statx(2)` since Linux 5.8, before that
/// `/proc/self/fdinfo`.
pub(super) fn mount_id(fd: BorrowedFd<'_>) -> rustix::io::Result<u64> {
    use std::os::fd::AsRawFd as _;

    if let Ok(stat) = statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
        && StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID)
    {
        return Ok(stat.stx_mnt_id);
    }
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).map_err(|_| Errno::NOSYS)?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:")).and_then(|id| id.trim().parse().ok()).ok_or(Errno::NOSYS)
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
