//! Running an OCI runtime such as runc: how it is called, where it keeps its state, and what it
//! answers about a container.
//!
//! Whether it may be run, and for which bundle, is decided above. Callers that wait without blocking
//! take [`Runc::command`]; the others take [`Runc::run`], which has a deadline.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dunnage_sys::descriptors::keep_descriptors_private;
use serde::Deserialize;

/// Where runc keeps its state, in a directory for each namespace, if no other place is named:
/// containerd's.
pub const DEFAULT_ROOT: &str = "/run/containerd/runc";
/// `PATH` of what we start, where we have none ourselves.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The status of a container that has no state yet.
pub const CREATING: &str = "creating";
/// The variables of our own environment that a runtime gets. Everything else may be a secret.
const ENVIRONMENT: [&str; 3] = ["PATH", "LANG", "XDG_RUNTIME_DIR"];

/// A runtime, and where it keeps the state of the containers of a namespace.
#[derive(Clone, Debug)]
pub struct Runc {
    program: OsString,
    root: PathBuf,
}

/// What a runtime says about a container (`runc state`).
#[derive(Clone, Debug, Deserialize)]
pub struct ContainerState {
    /// What the container is doing.
    pub status: String,
    /// Its init process; 0 if it has none.
    #[serde(default)]
    pub pid: u32,
    /// The bundle that it was made from.
    pub bundle: PathBuf,
}

impl ContainerState {
    /// A container whose creation was cut short: it has a directory, but no state.
    #[must_use]
    pub fn creating(bundle: &Path) -> Self {
        Self { status: CREATING.to_owned(), pid: 0, bundle: bundle.to_owned() }
    }

    /// What it is doing, as one says it.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!("the container of the bundle is still {} (pid {})", self.status, self.pid)
    }

    /// Whether something of the container would be lost if it were removed.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.status != "stopped" && self.status != CREATING
    }
}

impl Runc {
    /// A runtime by its program and its root without the namespace. What is empty is the default:
    /// `runc`, and [`DEFAULT_ROOT`].
    #[must_use]
    pub fn new(program: &OsStr, root: &Path, namespace: &str) -> Self {
        let program = if program.is_empty() { OsStr::new("runc") } else { program };
        let root = if root.as_os_str().is_empty() { Path::new(DEFAULT_ROOT) } else { root };
        Self { program: program.to_owned(), root: root.join(namespace) }
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// Where it keeps its state.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether it keeps anything of a container of that id, whichever bundle that is of.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.root.join(id).symlink_metadata().is_ok()
    }

    /// Whether it has written down the state of a container of that id.
    #[must_use]
    pub fn has_state(&self, id: &str) -> bool {
        self.root.join(id).join("state.json").symlink_metadata().is_ok()
    }

    /// A command of it, to which the arguments are to be added. It gets a small environment, its
    /// standard streams and nothing else that is open here, and a process group of its own: a Ctrl-C
    /// on our terminal does not stop it half-way.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", DEFAULT_PATH);
        command.envs(ENVIRONMENT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.arg("--root").arg(&self.root).current_dir("/").process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        keep_descriptors_private(&mut command);
        command
    }

    /// Runs it to its end; whether it succeeded. What it prints goes to these descriptors.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or has not ended in time ([`io::ErrorKind::TimedOut`]): then it is
    /// killed.
    pub fn run(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        stdout: OwnedFd,
        stderr: OwnedFd,
        timeout: Duration,
    ) -> io::Result<bool> {
        let mut command = self.command();
        command.args(arguments).stdout(stdout).stderr(stderr);
        let child = command.spawn();
        // This closes our ends of the pipes.
        drop(command);
        let mut child =
            child.map_err(|error| io::Error::new(error.kind(), format!("it cannot be started: {error}")))?;
        let deadline = Instant::now() + timeout;
        let mut pause = Duration::from_millis(1);
        loop {
            match child.try_wait()? {
                Some(status) => return Ok(status.success()),
                None if Instant::now() < deadline => thread::sleep(pause),
                None => {
                    let _ = child.kill();
                    let _ = child.wait();
                    let message = format!("no answer within {} s", timeout.as_secs());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, message));
                }
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_the_default() {
        let runc = Runc::new(OsStr::new(""), Path::new(""), "moby");
        assert_eq!((runc.program(), runc.root()), (OsStr::new("runc"), Path::new("/run/containerd/runc/moby")));
        let other = Runc::new(OsStr::new("crun"), Path::new("/r"), "moby");
        assert_eq!((other.program(), other.root()), (OsStr::new("crun"), Path::new("/r/moby")));
    }

    #[test]
    fn a_runtime_that_hangs_is_killed() {
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let run = |program: &str, arguments: &[&str]| {
            let runc = Runc { program: program.into(), root: "/r".into() };
            runc.run(arguments, null(), null(), Duration::from_millis(200)).map_err(|error| error.kind())
        };
        // `--root /r` comes first, which a shell takes for its script's arguments.
        assert_eq!(run("/bin/false", &[]), Ok(false));
        assert_eq!(run("/no/such/runtime", &[]), Err(io::ErrorKind::NotFound));
        let script = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(script.path(), "#!/bin/sh\nexec sleep 60\n").unwrap();
        std::fs::set_permissions(script.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = script.into_temp_path();
        assert_eq!(run(path.to_str().unwrap(), &[]), Err(io::ErrorKind::TimedOut));
    }

    #[test]
    fn states_are_told_apart() {
        let state = |text: &str| serde_json::from_str::<ContainerState>(text).unwrap();
        assert!(state(r#"{"status":"running","pid":7,"bundle":"/b"}"#).is_running());
        assert!(state(r#"{"status":"paused","pid":7,"bundle":"/b"}"#).is_running());
        assert!(!state(r#"{"status":"stopped","bundle":"/b"}"#).is_running());
        assert!(!ContainerState::creating(Path::new("/b")).is_running());
    }
}
