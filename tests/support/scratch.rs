//! A state directory and a root directory that vanish with the test.

use std::ffi::OsStr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use dunnage::{Builder, BundleId, Dunnage};
use tempfile::TempDir;

use crate::binary::{self, Build, Outcome};

/// A directory for one test, with room for `state`, `root` and `sockets` in it.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// In the usual temporary directory.
    pub fn new() -> Self {
        Self(TempDir::with_prefix("dunnage-").expect("a temporary directory"))
    }

    /// In another directory, for example on another file system.
    pub fn new_in(directory: impl AsRef<Path>) -> Self {
        Self(TempDir::with_prefix_in("dunnage-", directory).expect("a temporary directory"))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The state directory; not made yet.
    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// The root directory; not made yet.
    pub fn root(&self) -> PathBuf {
        self.path().join("root")
    }

    /// The directory of the shims' sockets; not made yet.
    pub fn sockets(&self) -> PathBuf {
        self.path().join("sockets")
    }

    /// Where the bundle of an id of the default namespace lies.
    pub fn bundle(&self, id: &str) -> PathBuf {
        self.state().join("default").join(id)
    }

    /// Where the work directory of an id of the default namespace lies.
    pub fn work_dir(&self, id: &str) -> PathBuf {
        self.root().join("default").join(id)
    }

    /// A bundle manager of these directories, to be set up further.
    pub fn builder(&self) -> Builder {
        Dunnage::builder().state(self.state()).root(self.root()).socket_root(self.sockets())
    }

    /// A bundle manager of these directories.
    pub fn dunnage(&self) -> Dunnage {
        self.builder().build().expect("a bundle manager")
    }

    /// A command of the default build of the binary, with these directories.
    pub fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        self.command_of(Build::Default, arguments)
    }

    /// A command of some build of the binary, with these directories.
    pub fn command_of(&self, build: Build, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = binary::command(build, arguments);
        command
            .env("DUNNAGE_STATE", self.state())
            .env("DUNNAGE_ROOT", self.root())
            .env("DUNNAGE_SOCKET_ROOT", self.sockets());
        command
    }

    /// Runs the default build of the binary with these directories.
    pub fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Outcome {
        binary::run(&mut self.command(arguments), [])
    }

    /// Everything below the directory, one line each: kind, mode, owner, size and path, sorted.
    /// Links are not followed. The record of which state and root belong together, which the first
    /// bundle brings and which lasts, is left out.
    pub fn tree(&self) -> Vec<String> {
        let lasts = |line: &String| line.contains("/.dunnage d") || line.contains("/.dunnage/pair.json ");
        tree(self.path()).into_iter().filter(|line| !lasts(line)).collect()
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// The id of a bundle in the default namespace.
pub fn id(id: &str) -> BundleId {
    BundleId::new("default", id)
}

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// Everything below a directory, as [`Scratch::tree`] has it.
pub fn tree(top: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    walk(top, top, &mut lines);
    lines.sort();
    lines
}

fn walk(top: &Path, directory: &Path, lines: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).expect("read a directory") {
        let path = entry.expect("an entry").path();
        let metadata = path.symlink_metadata().expect("metadata");
        let kind = metadata.file_type();
        let letter = match () {
            () if kind.is_dir() => 'd',
            () if kind.is_symlink() => 'l',
            () if kind.is_socket() => 's',
            () if kind.is_fifo() => 'p',
            () => '-',
        };
        let size = if kind.is_file() { metadata.len() } else { 0 };
        let shown = path.strip_prefix(top).expect("a path below").display();
        lines.push(format!(
            "{shown} {letter}{:04o} {}:{} {size}",
            metadata.mode() & 0o7777,
            metadata.uid(),
            metadata.gid()
        ));
        if kind.is_dir() {
            walk(top, &path, lines);
        }
    }
}
