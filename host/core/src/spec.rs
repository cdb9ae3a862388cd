//! The OCI spec on its way from the caller to the policy: opaque bytes that the host never parses.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Error, ErrorKind, Result, Step};

/// An OCI runtime spec (`config.json`), byte for byte.
///
/// Cheap to clone. The policy decides whether it is valid.
#[derive(Clone, Debug)]
pub struct Spec {
    bytes: Arc<[u8]>,
    /// Where it comes from, in words.
    source: Option<Arc<str>>,
}

impl PartialEq for Spec {
    /// Where it comes from does not matter.
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Spec {}

impl Spec {
    /// Takes the bytes of a spec.
    #[must_use]
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { bytes: bytes.into(), source: None }
    }

    /// Reads a spec from a file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Filesystem`] if it cannot be read, [`ErrorKind::SpecTooLarge`] if it is larger
    /// than `limit` bytes.
    pub fn read_file(path: impl AsRef<Path>, limit: u64) -> Result<Self> {
        SpecFile::open(path)?.read(limit)
    }

    /// Reads a spec to its end; `source` says where it comes from in messages.
    ///
    /// # Errors
    ///
    /// Like [`Spec::read_file`].
    pub fn read(reader: impl Read, limit: u64, source: &str) -> Result<Self> {
        Self::read_about(0, reader, limit, source)
    }

    /// The same, with room for `size` bytes from the start.
    fn read_about(size: u64, reader: impl Read, limit: u64, source: &str) -> Result<Self> {
        let mut bytes = Vec::with_capacity(usize::try_from(size.min(limit)).unwrap_or(0));
        // One byte more than allowed distinguishes "too large" from "just fits".
        reader.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| cannot_read(source, &error))?;
        let spec = Self { source: Some(source.into()), ..Self::new(bytes) };
        spec.check_size(limit)?;
        Ok(spec)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where it was read from: the path of a file, or a few words. `None` if it was not read.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Its bytes, shared.
    #[must_use]
    #[doc(hidden)]
    pub fn shared(&self) -> Arc<[u8]> {
        Arc::clone(&self.bytes)
    }

    /// Refuses a spec that is larger than `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SpecTooLarge`].
    #[doc(hidden)]
    pub fn check_size(&self, limit: u64) -> Result<()> {
        if self.bytes.len() as u64 > limit {
            let source = self.source().unwrap_or("the spec");
            let message = format!("{source} is larger than the limit of {limit} bytes (--max-spec-size)");
            return Err(Error::new(ErrorKind::SpecTooLarge, Step::ReadSpec, message));
        }
        Ok(())
    }
}

/// The file of a spec, opened and not yet read: between the two a process can give up the right to
/// open anything.
#[derive(Debug)]
pub struct SpecFile {
    file: File,
    size: u64,
    path: PathBuf,
}

impl SpecFile {
    /// Opens the file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Filesystem`] if it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let unreadable = |error: std::io::Error| cannot_read(&path.display().to_string(), &error).at(path);
        let file = File::open(path).map_err(unreadable)?;
        let found = file.metadata().map_err(unreadable)?;
        if found.is_dir() {
            return Err(unreadable(std::io::ErrorKind::IsADirectory.into()));
        }
        Ok(Self { file, size: found.len(), path: path.to_owned() })
    }

    /// Reads the spec.
    ///
    /// # Errors
    ///
    /// Like [`Spec::read_file`].
    pub fn read(self, limit: u64) -> Result<Spec> {
        Spec::read_about(self.size, self.file, limit, &self.path.display().to_string())
            .map_err(|error| error.at(self.path))
    }
}

/// What the caller of a shim needs to know about a spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskSettings {
    /// Whether the container's process has a terminal.
    pub terminal: bool,
    /// The host's id of the process's user, which must own its standard streams.
    pub io_uid: u32,
    /// The host's id of the process's group.
    pub io_gid: u32,
}

impl TaskSettings {
    /// Settings with these ids of the host.
    #[must_use]
    pub fn new(terminal: bool, io_uid: u32, io_gid: u32) -> Self {
        Self { terminal, io_uid, io_gid }
    }
}

fn cannot_read(source: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Filesystem, Step::ReadSpec, format!("cannot read the spec from {source}: {error}"))
}
