//! The directories that an operator names, which enter as whole paths.
//!
//! A user who can replace a directory on the way to the state directory decides where the bundles
//! go. So the path is walked component by component, and every step must belong to a user we trust.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;

use crate::metadata::{metadata_at, metadata_of, metadata_of_path as path_metadata};
use crate::open::open_below;
use crate::{Crossing, Directory, Failure, FileKind, Metadata, Name, effective_ids, retry};

/// The most links that the kernel follows in one path (`MAXSYMLINKS`, path_resolution(7)).
const LINKS: usize = 40;

/// Why a directory that an operator names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustedPathError {
    /// A system call failed.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// Another user could put another directory in its place.
    #[error("{why}")]
    Untrusted {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
}

/// A directory that this call made, so that it can be taken back.
#[derive(Debug)]
pub struct CreatedDirectory {
    /// What it lies in.
    pub parent: Arc<Directory>,
    /// Its name.
    pub name: Name,
}

/// Opens a directory for reading.
pub fn open_trusted(path: &Path) -> Result<Directory, TrustedPathError> {
    TrustedWalk::new(path, None)?.arrive()
}

/// Opens a directory for reading; what is missing is made with these permission bits and added to
/// the list.
pub fn open_or_make_trusted(
    path: &Path,
    mode: u32,
    made: &mut Vec<CreatedDirectory>,
) -> Result<Directory, TrustedPathError> {
    TrustedWalk::new(path, Some((mode, made)))?.arrive()
}

struct TrustedWalk<'a> {
    path: PathBuf,
    making: Option<(u32, &'a mut Vec<CreatedDirectory>)>,
    /// The directories so far, from the root directory.
    way: Vec<OwnedFd>,
    /// Its textual form, one entry more than components.
    label: PathBuf,
    todo: VecDeque<OsString>,
    links: usize,
    trusted: [u32; 3],
}

impl<'a> TrustedWalk<'a> {
    fn new(path: &Path, making: Option<(u32, &'a mut Vec<CreatedDirectory>)>) -> Result<Self, TrustedPathError> {
        let fail = |call, errno| Failure::new(call, path, errno);
        let path = std::path::absolute(path)
            .map_err(|error| fail("getcwd", Errno::from_io_error(&error).unwrap_or(Errno::INVAL)))?;
        let root = open_root().map_err(|errno| fail("openat", errno))?;
        // Inside a user namespace the real root may have an unknown id; the owner of `/` controls
        // everything anyway.
        let ruler = metadata_of(root.as_fd()).map_err(|errno| fail("statx", errno))?.uid;
        Ok(Self {
            todo: components(&path),
            path,
            making,
            way: vec![root],
            label: PathBuf::from("/"),
            links: 0,
            trusted: [0, effective_ids().0, ruler],
        })
    }

    fn arrive(mut self) -> Result<Directory, TrustedPathError> {
        while let Some(component) = self.todo.pop_front() {
            match component.as_bytes() {
                b"/" => {
                    self.way.truncate(1);
                    self.label = PathBuf::from("/");
                }
                b".." => {
                    if self.way.len() > 1 {
                        self.way.pop();
                        self.label.pop();
                    }
                }
                name => {
                    let name = Name::new(name).map_err(|_| self.fail("openat2", Errno::INVAL))?;
                    self.step(&name)?;
                }
            }
        }
        // A path may end by going back up (`..`), to a directory that was only passed so far.
        let metadata = metadata_of(self.last()?).map_err(|errno| self.fail("statx", errno))?;
        self.check(&self.label, &metadata, false)?;
        self.open_last()
    }

    /// One component further: a directory, a link to follow, or one to make.
    fn step(&mut self, name: &Name) -> Result<(), TrustedPathError> {
        let path = self.label.join(name.as_path());
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match open_below(self.last()?, name, flags, Mode::empty(), Crossing::Allowed) {
            Ok(next) => {
                let metadata = metadata_of(next.as_fd()).map_err(|errno| Failure::new("statx", &path, errno))?;
                self.check(&path, &metadata, !self.todo.is_empty())?;
                self.label = path;
                self.way.push(next);
                Ok(())
            }
            Err(Errno::NOENT) => self.make(name),
            Err(errno) => {
                let found = metadata_at(self.last()?, name).map_err(|errno| Failure::new("statx", &path, errno))?;
                if found.kind != FileKind::Link {
                    return Err(Failure::new("openat2", path, errno).into());
                }
                self.follow(path, name, &found)
            }
        }
    }

    fn make(&mut self, name: &Name) -> Result<(), TrustedPathError> {
        let here = Directory::from_fd_unchecked(self.clone_last()?, self.label.clone());
        let Some((mode, made)) = &mut self.making else {
            return Err(Failure::new("openat2", here.path_of(name), Errno::NOENT).into());
        };
        match here.create_directory(name, *mode) {
            Ok(_) => made.push(CreatedDirectory { parent: Arc::new(here), name: name.clone() }),
            // Another process was faster: check what it made.
            Err(failure) if failure.errno() == Errno::EXIST => {}
            Err(failure) => return Err(failure.into()),
        }
        self.todo.push_front(name.as_path().into());
        Ok(())
    }

    fn follow(&mut self, path: PathBuf, name: &Name, link: &Metadata) -> Result<(), TrustedPathError> {
        if !self.trusted.contains(&link.uid) {
            return Err(self.untrusted(path, format!("is a symbolic link of user {}", link.uid)));
        }
        self.links += 1;
        if self.links > LINKS {
            return Err(Failure::new("openat2", path, Errno::LOOP).into());
        }
        let here = self.last()?;
        let target = retry(|| readlinkat(here, name.as_c_str(), Vec::new()))
            .map_err(|errno| Failure::new("readlinkat", path, errno))?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        for component in components(&target).into_iter().rev() {
            self.todo.push_front(component);
        }
        Ok(())
    }

    /// Refuses a directory in which another user could replace the next component.
    fn check(&self, path: &Path, metadata: &Metadata, ancestor: bool) -> Result<(), TrustedPathError> {
        // The group's bits are also the mask of an ACL, so not even group 0 is excused.
        let by_group = metadata.mode & 0o020 != 0;
        let by_others = metadata.mode & 0o002 != 0;
        // In a sticky directory (`/tmp`) no other user can rename what is ours. That is enough on
        // the way, but not at its end, where others could take the names of namespaces.
        let excused = ancestor && metadata.mode & 0o1000 != 0;
        if !self.trusted.contains(&metadata.uid) {
            Err(self.untrusted(path.to_owned(), format!("belongs to user {}", metadata.uid)))
        } else if (by_group || by_others) && !excused {
            let who = if by_others { "everybody" } else { "its group" };
            let why = format!("is writable by {who} (mode {:04o}); try: chmod go-w {}", metadata.mode, path.display());
            Err(self.untrusted(path.to_owned(), why))
        } else {
            Ok(())
        }
    }

    fn open_last(self) -> Result<Directory, TrustedPathError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let last = self.last()?;
        let fd = retry(|| openat(last, c".", flags, Mode::empty())).map_err(|errno| self.fail("openat", errno))?;
        Ok(Directory::from_fd_unchecked(fd, self.path))
    }

    fn last(&self) -> Result<BorrowedFd<'_>, Failure> {
        self.way.last().map(AsFd::as_fd).ok_or_else(|| self.fail("openat", Errno::INVAL))
    }

    fn clone_last(&self) -> Result<OwnedFd, Failure> {
        rustix::io::fcntl_dupfd_cloexec(self.last()?, 3).map_err(|errno| self.fail("fcntl", errno))
    }

    fn fail(&self, call: &'static str, errno: Errno) -> Failure {
        Failure::new(call, &self.path, errno)
    }

    fn untrusted(&self, path: PathBuf, why: String) -> TrustedPathError {
        let why = if path == self.path {
            format!("{} {why}", path.display())
        } else {
            format!("{} on the way to {} {why}", path.display(), self.path.display())
        };
        TrustedPathError::Untrusted { path, why }
    }
}

fn open_root() -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry(|| openat(CWD, c"/", flags, Mode::empty()))
}

fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter(|component| *component != Component::CurDir)
        .map(|component| component.as_os_str().to_owned())
        .collect()
}

/// What a path leads to now; a link at its end is not followed.
pub fn metadata_of_path(path: &Path) -> Option<Metadata> {
    path_metadata(path).ok()
}
