//! The floors: the system calls alone, on directory handles that are held, without JSON or Wasm.
//!
//! *Bare* is what a bundle takes. *Safe* is that and what the design's safety takes: staging,
//! locks, `openat2`, checks of what was made and of where it lies, and a look for mounts. Neither
//! undoes anything when a call fails; it stops.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::ensure;
use rustix::fs::{
    AtFlags, CWD, FlockOperation, Gid, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, Statx, StatxFlags, chmodat,
    chownat, fchmod, fchown, flistxattr, flock, mkdirat, open, openat, openat2, renameat, renameat_with, statx,
    unlinkat,
};
use rustix::io::Errno;

/// The group that the real specs remap to.
const GROUP: u32 = 100_000;
/// A directory, for `unlinkat`.
const DIRECTORY: AtFlags = AtFlags::REMOVEDIR;

/// The two directories that bundles and work directories are made in.
pub(crate) struct Floor {
    state: PathBuf,
    root: PathBuf,
    records_path: PathBuf,
    records: OwnedFd,
    bundles: OwnedFd,
    work_dirs: OwnedFd,
    spec: Vec<u8>,
    trash: AtomicU64,
}

impl Floor {
    pub(crate) fn open(state: &Path, root: &Path, spec: &Path) -> anyhow::Result<Self> {
        let (bundles, work_dirs) = (state.join("default"), root.join("default"));
        fs::create_dir_all(&bundles)?;
        fs::create_dir_all(&work_dirs)?;
        let records = state.join(".dunnage");
        fs::create_dir_all(&records)?;
        let handle = |path: &Path| open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        Ok(Self {
            records: handle(&records)?,
            records_path: records,
            bundles: handle(&bundles)?,
            work_dirs: handle(&work_dirs)?,
            state: bundles,
            root: work_dirs,
            spec: fs::read(spec)?,
            trash: AtomicU64::new(0),
        })
    }

    pub(crate) fn bare(&self, id: &str) -> anyhow::Result<()> {
        let (bundles, work_dirs) = (&self.bundles, &self.work_dirs);
        let (rootfs, config) = (format!("{id}/rootfs"), format!("{id}/config.json"));
        mkdirat(bundles, id, mode(0o700))?;
        chownat(bundles, id, None, Some(Gid::from_raw(GROUP)), AtFlags::empty())?;
        chmodat(bundles, id, mode(0o710), AtFlags::empty())?;
        mkdirat(work_dirs, id, mode(0o711))?;
        mkdirat(bundles, &rootfs, mode(0o711))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(bundles, &config, flags, mode(0o640))?;
        self.write(&file)?;
        drop(file);

        let hidden = format!(".{id}");
        renameat(bundles, id, bundles, &hidden)?;
        unlinkat(bundles, format!("{hidden}/config.json"), AtFlags::empty())?;
        unlinkat(bundles, format!("{hidden}/rootfs"), DIRECTORY)?;
        unlinkat(bundles, &hidden, DIRECTORY)?;
        unlinkat(work_dirs, id, DIRECTORY)?;
        Ok(())
    }

    pub(crate) fn safe(&self, id: &str) -> anyhow::Result<()> {
        self.create_safely(id)?;
        self.delete_safely(id)
    }

    fn create_safely(&self, id: &str) -> anyhow::Result<()> {
        self.check_places()?;
        let bundles = self.bundles.as_fd();
        let work_dir = make_locked(self.work_dirs.as_fd(), id, 0o711)?;
        let staging_name = self.hidden(id);
        let staging = make_locked(bundles, &staging_name, 0o700)?;
        fchown(&staging, None, Some(Gid::from_raw(GROUP)))?;
        fchmod(&staging, mode(0o710))?;
        mkdirat(&staging, "rootfs", mode(0o711))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = open_below(staging.as_fd(), "config.json", flags, mode(0o600))?;
        self.write(&file)?;
        fchown(&file, None, Some(Gid::from_raw(GROUP)))?;
        fchmod(&file, mode(0o640))?;
        drop(file);

        let made = stat(staging.as_fd())?;
        ensure!((made.stx_mode & 0o7777, made.stx_gid) == (0o710, GROUP), "the bundle is another");
        ensure!(stat_at(staging.as_fd(), "rootfs")?.stx_mode & 0o7777 == 0o711, "rootfs is another");
        let config = stat_at(staging.as_fd(), "config.json")?;
        ensure!((config.stx_size, config.stx_nlink) == (self.spec.len() as u64, 1), "config.json is another");
        ensure!(same(&stat_at(self.work_dirs.as_fd(), id)?, &stat(work_dir.as_fd())?), "the work directory is gone");
        renameat_with(bundles, &staging_name, bundles, id, RenameFlags::NOREPLACE)?;
        ensure!(same(&stat_at(bundles, id)?, &made), "the bundle was exchanged");
        Ok(())
    }

    fn delete_safely(&self, id: &str) -> anyhow::Result<()> {
        self.check_places()?;
        let bundles = self.bundles.as_fd();
        let work_dir = open_locked(self.work_dirs.as_fd(), id)?;
        let bundle = open_locked(bundles, id)?;
        let rootfs = open_below(bundle.as_fd(), "rootfs", OFlags::DIRECTORY, Mode::empty())?;
        // With what a bundle is made of in it, two entries leave no room for records of a shim.
        ensure!(entries(bundle.as_fd())? == 2, "something was put into the bundle");
        for name in ["config.json", "rootfs"] {
            let found = stat_at(bundle.as_fd(), name)?;
            ensure!(!found.stx_attributes.contains(rustix::fs::StatxAttributes::MOUNT_ROOT), "{name} is mounted");
        }
        ensure!(entries(rootfs.as_fd())? == 0 && entries(work_dir.as_fd())? == 0, "something could be mounted");
        check_place(&self.records_path)?;
        let shims = open_below(self.records.as_fd(), "shims", OFlags::DIRECTORY, Mode::empty());
        ensure!(shims.err() == Some(Errno::NOENT), "a shim has been started");

        let trash = self.hidden(id);
        renameat_with(bundles, id, bundles, &trash, RenameFlags::NOREPLACE)?;
        unlinkat(&bundle, "config.json", AtFlags::empty())?;
        unlinkat(&bundle, "rootfs", DIRECTORY)?;
        unlinkat(bundles, &trash, DIRECTORY)?;
        unlinkat(&self.work_dirs, id, DIRECTORY)?;
        Ok(())
    }

    /// The paths still lead to the directories that are held.
    fn check_places(&self) -> anyhow::Result<()> {
        check_place(&self.state)?;
        check_place(&self.root)
    }

    /// A unique name.
    fn hidden(&self, id: &str) -> String {
        format!(".{id}.{:016x}", self.trash.fetch_add(1, Ordering::Relaxed))
    }

    fn write(&self, file: &OwnedFd) -> anyhow::Result<()> {
        let mut rest = self.spec.as_slice();
        while !rest.is_empty() {
            let count = rustix::io::write(file, rest)?;
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(())
    }
}

fn check_place(path: &Path) -> anyhow::Result<()> {
    let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::ALL)?;
    ensure!(found.stx_uid == 0 && found.stx_mode & 0o022 == 0, "{} is not safe", path.display());
    Ok(())
}

fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits)
}

/// Opens without following links and without leaving the directory or its mount.
fn open_below(directory: BorrowedFd<'_>, name: &str, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    openat2(directory, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode, resolve)
}

fn stat(directory: BorrowedFd<'_>) -> rustix::io::Result<Statx> {
    statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::ALL)
}

fn stat_at(directory: BorrowedFd<'_>, name: &str) -> rustix::io::Result<Statx> {
    statx(directory, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, StatxFlags::ALL)
}

fn same(a: &Statx, b: &Statx) -> bool {
    (a.stx_dev_major, a.stx_dev_minor, a.stx_ino) == (b.stx_dev_major, b.stx_dev_minor, b.stx_ino)
}

/// Makes a directory, sees that it is as it was asked for, and locks it.
fn make_locked(parent: BorrowedFd<'_>, name: &str, bits: u32) -> anyhow::Result<OwnedFd> {
    mkdirat(parent, name, mode(bits))?;
    let made = open_below(parent, name, OFlags::DIRECTORY, Mode::empty())?;
    let mut attributes = [0_u8; 256];
    let length = flistxattr(&made, attributes.as_mut_slice())?;
    let inherited = attributes.get(..length).unwrap_or_default().windows(9).any(|window| window == b"posix_acl");
    ensure!(!inherited, "{name} has inherited an access control list");
    lock(parent, name, made, |found| found.stx_mode & 0o7777 == bits.try_into().unwrap_or(0_u16))
}

/// Opens a directory of ours and locks it.
fn open_locked(parent: BorrowedFd<'_>, name: &str) -> anyhow::Result<OwnedFd> {
    let found = open_below(parent, name, OFlags::DIRECTORY, Mode::empty())?;
    lock(parent, name, found, |found| found.stx_uid == 0)
}

/// Locks a directory, and sees that the name still leads to it.
fn lock(
    parent: BorrowedFd<'_>,
    name: &str,
    directory: OwnedFd,
    right: impl FnOnce(&Statx) -> bool,
) -> anyhow::Result<OwnedFd> {
    flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
    let locked = stat(directory.as_fd())?;
    ensure!(right(&locked) && same(&locked, &stat_at(parent, name)?), "{name} is another");
    Ok(directory)
}

/// How many entries a directory has.
fn entries(directory: BorrowedFd<'_>) -> rustix::io::Result<usize> {
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut list = RawDir::new(directory, &mut buffer);
    let mut count = 0;
    while let Some(entry) = list.next() {
        count += usize::from(!matches!(entry?.file_name().to_bytes(), b"." | b".."));
    }
    Ok(count)
}
