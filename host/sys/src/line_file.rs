//! Files of lines that several processes append to and read from at the same time.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, ftruncate};
use rustix::io::{Errno, pread, write};

use crate::create::change_mode;
use crate::metadata::metadata_of;
use crate::open::open_below;
use crate::{Crossing, Directory, Failure, FileIdentity, FileKind, Metadata, Name, Result, retry};

/// How often a file and its older one are looked for.
const ROTATION_ATTEMPTS: usize = 100;

/// An open file of lines.
#[derive(Debug)]
pub struct LineFile {
    fd: OwnedFd,
    path: PathBuf,
    identity: FileIdentity,
}

impl Directory {
    /// Opens a file to append lines to it, made with exactly this mode if it is missing.
    pub fn open_lines_to_append(&self, name: &Name, mode: u32) -> Result<LineFile> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE;
        let (file, found) = self.open_lines(name, flags, Mode::from_raw_mode(mode))?;
        if found.mode != mode {
            change_mode(file.fd.as_fd(), mode)
                .map_err(|errno| file.fail("fchmod", errno).with(format!("{mode:04o}")))?;
        }
        Ok(file)
    }

    /// Opens a file to read lines from it; `None` if there is none.
    pub fn open_lines_to_read(&self, name: &Name) -> Result<Option<LineFile>> {
        match self.open_lines(name, OFlags::RDONLY, Mode::empty()) {
            Err(failure) if failure.errno() == Errno::NOENT => Ok(None),
            result => result.map(|(file, _)| Some(file)),
        }
    }

    /// Opens a file of lines and the one that it took the place of, the older one first, as they are at
    /// one instant; `EAGAIN` if they change too fast.
    ///
    /// Without a lock, which a stopped reader would keep from the writers: if the file is still the same
    /// one after the older one was opened, they belong together.
    pub fn open_rotated_lines(&self, name: &Name, older: &Name) -> Result<[Option<LineFile>; 2]> {
        for _ in 0..ROTATION_ATTEMPTS {
            let newer = self.open_lines_to_read(name)?;
            let older = self.open_lines_to_read(older)?;
            if newer.as_ref().map(LineFile::identity) == self.lines_identity(name)? {
                return Ok([older, newer]);
            }
        }
        Err(Failure::new("openat2", self.path_of(name), Errno::AGAIN).with("changes too fast to be read"))
    }

    /// Which file has a name now; `None` if there is none.
    pub fn lines_identity(&self, name: &Name) -> Result<Option<FileIdentity>> {
        match self.metadata_at(name) {
            Err(failure) if failure.errno() == Errno::NOENT => Ok(None),
            result => result.map(|found| Some(found.identity())),
        }
    }

    fn open_lines(&self, name: &Name, flags: OFlags, mode: Mode) -> Result<(LineFile, Metadata)> {
        // A FIFO in its place must not make us wait.
        let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
        let path = self.path_of(name);
        let fd = open_below(self.as_fd(), name, flags, mode, Crossing::Refused)
            .map_err(|errno| Failure::new("openat2", &path, errno))?;
        let found = metadata_of(fd.as_fd()).map_err(|errno| Failure::new("statx", &path, errno))?;
        if found.kind != FileKind::Regular {
            return Err(Failure::new("openat2", path, Errno::INVAL).with("not a regular file"));
        }
        Ok((LineFile { fd, path, identity: found.identity() }, found))
    }
}

impl LineFile {
    /// Which file it is, even if it is renamed.
    pub fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// How large it is, in bytes.
    pub fn size(&self) -> Result<u64> {
        metadata_of(self.fd.as_fd()).map(|found| found.size).map_err(|errno| self.fail("statx", errno))
    }

    /// Appends a line (or several, without the end of the last one) with a single write, or nothing. The caller holds a lock against others who append.
    pub fn append_line(&self, line: &[u8]) -> Result<()> {
        let before = self.size()?;
        let mut text = Vec::with_capacity(line.len() + 2);
        // A writer died in the middle of a line: end it, so that only that one is lost.
        if before > 0 && self.read_at(before - 1, 1)? != b"\n" {
            text.push(b'\n');
        }
        text.extend_from_slice(line);
        text.push(b'\n');
        let errno = match retry(|| write(&self.fd, &text)) {
            Ok(count) if count == text.len() => return Ok(()),
            Ok(_) => Errno::NOSPC,
            Err(errno) => errno,
        };
        if let Err(errno) = retry(|| ftruncate(&self.fd, before)) {
            tracing::warn!(path = %self.path.display(), %errno, "cannot remove a half-written line");
        }
        Err(self.fail("write", errno))
    }

    /// What lies at an offset, at most `limit` bytes; empty at the end.
    pub fn read_at(&self, offset: u64, limit: usize) -> Result<Vec<u8>> {
        let mut content = vec![0; limit];
        let count =
            retry(|| pread(&self.fd, content.as_mut_slice(), offset)).map_err(|errno| self.fail("pread", errno))?;
        content.truncate(count);
        Ok(content)
    }

    fn fail(&self, call: &'static str, errno: Errno) -> Failure {
        Failure::new(call, &self.path, errno)
    }
}
