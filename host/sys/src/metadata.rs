//! What a file is: `statx(2)`.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, FileType, Statx, StatxAttributes, StatxFlags, statx};

use crate::{Name, retry};

/// What kind of file an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular,
    /// A symbolic link.
    Link,
    /// A unix socket.
    Socket,
    /// A FIFO or a device.
    Other,
}

/// What `statx(2)` reports about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What kind of file it is.
    pub kind: FileKind,
    /// Permission bits with set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its size in bytes.
    pub size: u64,
    /// How many names it has.
    pub links: u32,
    /// The device that it lies on: major and minor number.
    pub device: (u32, u32),
    /// Its number on the device.
    pub inode: u64,
    /// The time of birth where the file system keeps one, else of the last change of the content.
    pub created: SystemTime,
    /// The time of birth since 1970, where the file system keeps one.
    pub born: Option<Duration>,
    /// Whether something is mounted here; `None` before Linux 5.8.
    pub mount_root: Option<bool>,
}

/// Which file it is, even if it is renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct FileIdentity {
    /// The device that it lies on: major and minor number.
    pub device: (u32, u32),
    /// Its number on the device.
    pub inode: u64,
}

impl Metadata {
    /// Which file it is.
    pub fn identity(&self) -> FileIdentity {
        FileIdentity { device: self.device, inode: self.inode }
    }
}

pub(crate) fn kind_of(kind: FileType) -> Option<FileKind> {
    match kind {
        FileType::Directory => Some(FileKind::Directory),
        FileType::RegularFile => Some(FileKind::Regular),
        FileType::Symlink => Some(FileKind::Link),
        FileType::Socket => Some(FileKind::Socket),
        FileType::Unknown => None,
        FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => Some(FileKind::Other),
    }
}

pub(crate) fn metadata_of(fd: BorrowedFd<'_>) -> rustix::io::Result<Metadata> {
    let flags = AtFlags::EMPTY_PATH;
    retry(|| statx(fd, c"", flags, mask())).map(|stat| translate(&stat))
}

pub(crate) fn metadata_at(directory: BorrowedFd<'_>, name: &Name) -> rustix::io::Result<Metadata> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    retry(|| statx(directory, name.as_c_str(), flags, mask())).map(|stat| translate(&stat))
}

/// What a path leads to, links followed: for the magic links of `/proc` only.
pub(crate) fn metadata_of_target(path: &Path) -> rustix::io::Result<Metadata> {
    let flags = AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    retry(|| statx(CWD, path, flags, mask())).map(|stat| translate(&stat))
}

/// Which file a path leads to: to compare, not to open.
pub fn path_identity(path: &Path) -> Option<FileIdentity> {
    metadata_of_target(path).ok().map(|metadata| metadata.identity())
}

pub(crate) fn metadata_of_path(path: &Path) -> rustix::io::Result<Metadata> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    retry(|| statx(CWD, path, flags, mask())).map(|stat| translate(&stat))
}

pub(crate) fn mask() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME
}

pub(crate) fn translate(stat: &Statx) -> Metadata {
    let mode = u32::from(stat.stx_mode);
    let known = StatxFlags::from_bits_retain(stat.stx_mask);
    let keeps_birth = known.contains(StatxFlags::BTIME);
    let time = if keeps_birth { stat.stx_btime } else { stat.stx_mtime };
    let since = u64::try_from(time.tv_sec).map_or(Duration::ZERO, |seconds| Duration::new(seconds, time.tv_nsec));
    Metadata {
        kind: kind_of(FileType::from_raw_mode(mode)).unwrap_or(FileKind::Other),
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
