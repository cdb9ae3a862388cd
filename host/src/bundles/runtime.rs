//! The container of a bundle as the runtime (runc) knows it, asked without any shim: shims die.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};

use super::shim_record::ShimRecord;
use crate::bundle::BundleId;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::privileged::Privileged;
use crate::sys::{Directory, path_identity};

/// Where containerd's shim has runc keep its state if nobody says otherwise.
pub(crate) const DEFAULT_RUNTIME_ROOT: &str = "/run/containerd/runc";
/// The status of a container that has no state yet.
pub(crate) const CREATING: &str = "creating";
/// How long runc may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most that is read of what runc says, in bytes: several times the largest spec.
const MOST: u64 = 64 << 20;

/// What is asked of runc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    /// Show the container's state.
    State,
    /// Kill the container and forget it.
    Delete,
}

impl Action {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::State => &["state"],
            Self::Delete => &["delete", "--force"],
        }
    }
}

/// What runc says about a container (`runc state`).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct State {
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) pid: u32,
    bundle: PathBuf,
}

impl State {
    /// Whether there is a container that something would be lost of.
    pub(crate) fn is_running(&self) -> bool {
        self.status != "stopped" && self.status != CREATING
    }
}

/// runc, and where it keeps the state of a container.
pub(crate) struct Runtime {
    privileged: Privileged,
    binary: PathBuf,
    root: PathBuf,
    id: String,
    /// Whether a shim was started that uses it.
    is_ours: bool,
}

impl Runtime {
    /// The runtime of a bundle's container, by what is on record.
    pub(crate) fn of(privileged: &Privileged, id: &BundleId, record: Option<&ShimRecord>) -> Self {
        let or = |path: Option<&Path>, other: &str| {
            path.filter(|path| !path.as_os_str().is_empty()).map_or_else(|| PathBuf::from(other), Path::to_owned)
        };
        Self {
            privileged: privileged.clone(),
            binary: or(record.map(|record| &*record.runtime), "runc"),
            root: or(record.map(|record| &*record.runtime_root), DEFAULT_RUNTIME_ROOT).join(id.namespace()),
            id: id.id().to_owned(),
            is_ours: record.is_some(),
        }
    }

    /// Whether runc keeps anything under the container's id, of whichever bundle.
    pub(crate) fn has_state(&self) -> bool {
        std::fs::symlink_metadata(self.root.join(&self.id)).is_ok()
    }

    /// What runc knows of the container; `None` if nothing, or of another bundle's container that
    /// has the same id.
    pub(crate) fn state(&self, bundle: &Directory) -> Result<Option<State>> {
        if std::fs::symlink_metadata(self.root.join(&self.id)).is_err() {
            return Ok(None);
        }
        let answer = match self.run(Action::State, bundle) {
            Ok(answer) => answer,
            Err(error) => match std::fs::symlink_metadata(self.root.join(&self.id).join("state.json")) {
                Ok(_) => return Err(error),
                // It has gone meanwhile, or runc was killed before it wrote its state: then there
                // is only a directory, which is ours if we have started a shim.
                Err(_) if self.is_ours && std::fs::symlink_metadata(self.root.join(&self.id)).is_ok() => {
                    return Ok(Some(State { status: CREATING.to_owned(), pid: 0, bundle: bundle.path().to_owned() }));
                }
                Err(_) => return Ok(None),
            },
        };
        let state: State = serde_json::from_slice(&answer)
            .map_err(|error| self.error(format!("what it answered cannot be read: {error}")))?;
        let ours = state.bundle == bundle.path() || path_identity(&state.bundle) == bundle.identity();
        Ok(Some(state).filter(|_| ours))
    }

    /// Kills the container and has runc forget it.
    pub(crate) fn delete(&self, bundle: &Directory) -> Result<()> {
        self.run(Action::Delete, bundle).map(drop)
    }

    fn run(&self, action: Action, bundle: &Directory) -> Result<Vec<u8>> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| self.error(format!("cannot make a pipe: {errno}")));
        let ((answer, stdout), (complaint, stderr)) = (pipe()?, pipe()?);
        // Read from the start: the state holds all annotations of the spec, more than a pipe does.
        // `thread::spawn` panics where the system has no thread to give.
        let reader = |end| thread::Builder::new().spawn(move || read_some(File::from(end)));
        let cannot_read = |error| self.error(format!("cannot read what it answers: {error}"));
        let (answer, complaint) = (reader(answer).map_err(cannot_read)?, reader(complaint).map_err(cannot_read)?);
        let succeeded = self.privileged.run(self, action, bundle, [stdout, stderr]);
        let [answer, complaint] = [answer, complaint].map(|reader| reader.join().unwrap_or_default());
        match succeeded {
            Ok(true) => Ok(answer),
            Ok(false) => Err(self.error(String::from_utf8_lossy(&complaint).trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err(self.error(error.to_string()).with_kind(ErrorKind::Timeout))
            }
            Err(error) => Err(self.error(error.to_string())),
        }
    }

    /// Runs it to its end, if that comes in time; whether it succeeded.
    pub(crate) fn execute(&self, action: Action, stdout: OwnedFd, stderr: OwnedFd) -> io::Result<bool> {
        let mut command = Command::new(&self.binary);
        command.arg("--root").arg(&self.root).args(action.arguments()).arg(&self.id);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into()));
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).current_dir("/");
        // A Ctrl-C on our terminal does not stop it half-way.
        command.process_group(0);
        let child = command.spawn();
        // With it go our ends of the pipes.
        drop(command);
        let mut child =
            child.map_err(|error| io::Error::new(error.kind(), format!("it cannot be started: {error}")))?;
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(1);
        loop {
            match child.try_wait()? {
                Some(status) => return Ok(status.success()),
                None if Instant::now() < deadline => thread::sleep(pause),
                None => {
                    let _ = child.kill();
                    let _ = child.wait();
                    let message = format!("no answer in {} s", PATIENCE.as_secs());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, message));
                }
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn error(&self, message: String) -> Error {
        let (binary, root) = (self.binary.display(), self.root.display());
        let message = format!("{binary} --root {root} failed for container {}: {message}", self.id);
        Error::new(ErrorKind::Shim, Step::EndShim, message)
    }
}

fn read_some(from: impl io::Read) -> Vec<u8> {
    let mut text = Vec::new();
    let _ = from.take(MOST).read_to_end(&mut text);
    text
}
