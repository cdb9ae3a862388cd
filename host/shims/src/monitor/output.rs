//! Keeping what a container writes: FIFOs in the place of a client's, drained into its log.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dunnage_core::names;
use dunnage_sys::trusted_path::open_trusted;
use dunnage_sys::{Directory, FileKind, Name, effective_ids};
use dunnage_task_log::{LogStream, LogWriter};
use rustix::io::Errno;
use rustix::pipe::fcntl_setpipe_size;
use serde::{Deserialize, Serialize};

use crate::spawn::Handles;

/// How much may wait in a FIFO, and how much is read at a time.
const WAITING: usize = 1 << 20;
const BUFFER: usize = 64 << 10;
/// How often it is read at a time.
const ROUNDS: usize = 16;

/// Where the output of a container is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputLog {
    /// The file; `None` is `container.log` in the work directory. The one before it has `.1` added.
    pub file: Option<PathBuf>,
    /// How large it may become, in bytes. Two of them are kept.
    pub max_size: u64,
}

/// The output of a container that is kept.
#[derive(Debug)]
pub(super) struct ContainerOutput {
    /// Open for writing too: neither end ever closes before we are done.
    streams: [(LogStream, OwnedFd); 2],
    writer: LogWriter,
}

impl ContainerOutput {
    /// Makes the FIFOs and the file.
    pub(super) fn open(log: &OutputLog, handles: &Handles) -> Result<Self, String> {
        let open = |name: &Name| {
            let fifo = handles.records.open_or_make_fifo(name).map_err(|failure| failure.to_string())?;
            // An unprivileged user may not have more than the system's limit; less is enough.
            let _ = fcntl_setpipe_size(&fifo, WAITING);
            Ok::<_, String>(fifo)
        };
        let streams = [(LogStream::Stdout, open(&names::STDOUT)?), (LogStream::Stderr, open(&names::STDERR)?)];
        let (directory, name, older) = log.place(&handles.work_dir)?;
        for name in [&name, &older] {
            check_replaceable(&directory, name)?;
        }
        let mut writer = LogWriter::new(directory, name, older, log.max_size);
        writer.begin().map_err(|failure| format!("cannot keep the output of the container: {failure}"))?;
        Ok(Self { streams, writer })
    }

    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.streams.iter().map(|(_, fifo)| fifo.as_fd())
    }

    /// Keeps what has been written so far. Both streams in turn, so that their order is nearly kept.
    pub(super) fn drain(&mut self) {
        let mut buffer = vec![0_u8; BUFFER];
        // A container that never stops writing must not keep us from all else.
        for _ in 0..ROUNDS {
            let mut is_more = false;
            for (stream, fifo) in &self.streams {
                match rustix::io::read(fifo, &mut *buffer) {
                    Ok(0) | Err(Errno::AGAIN) => {}
                    Ok(count) => {
                        self.writer.write(*stream, buffer.get(..count).unwrap_or_default());
                        is_more = true;
                    }
                    Err(Errno::INTR) => is_more = true,
                    Err(_) => {}
                }
            }
            if !is_more {
                return;
            }
        }
    }
}

/// Refuses a name under which there is anything but a file of ours: a device or a directory must not be
/// moved out of the way.
fn check_replaceable(directory: &Directory, name: &Name) -> Result<(), String> {
    match directory.metadata_at(name) {
        Err(failure) if failure.errno() == Errno::NOENT => Ok(()),
        Err(failure) => Err(failure.to_string()),
        Ok(found) if found.kind == FileKind::Regular && found.uid == effective_ids().0 => Ok(()),
        Ok(_) => Err(format!("{} is not a file of this user, and cannot be a log", directory.path_of(name).display())),
    }
}

impl OutputLog {
    /// The directory of the file, its name, and the name of the one before it.
    ///
    /// # Errors
    ///
    /// If there is no such directory, or the file has no name.
    pub fn place(&self, work_dir: &Arc<Directory>) -> Result<(Arc<Directory>, Name, Name), String> {
        match &self.file {
            Some(_) => self.place_of_file(),
            None => Ok((Arc::clone(work_dir), names::CONTAINER_LOG, names::OLDER_CONTAINER_LOG)),
        }
    }

    /// The same for a file that was named.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn place_of_file(&self) -> Result<(Arc<Directory>, Name, Name), String> {
        let file = self.file.as_deref().unwrap_or(Path::new(""));
        let wrong = |why: &dyn std::fmt::Display| format!("cannot log to {}: {why}", file.display());
        let name = file.file_name().ok_or_else(|| wrong(&"it is not the path of a file"))?;
        let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let directory = open_trusted(directory).map_err(|error| wrong(&error))?;
        let mut older = name.to_owned();
        older.push(".1");
        let checked = |name: &OsStr| Name::new(name.as_encoded_bytes()).map_err(|error| wrong(&error));
        Ok((Arc::new(directory), checked(name)?, checked(&older)?))
    }
}
