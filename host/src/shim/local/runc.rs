//! Running the runtime.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde_json::Value;

use super::LocalConfig;
use super::answer::{Answer, failed};
use crate::sys::MARK;
use crate::sys::descriptors::keep_descriptors_private;

/// What a command of ours gets of the environment.
const ENVIRONMENT: [&str; 3] = ["PATH", "LANG", "XDG_RUNTIME_DIR"];
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// More of the log than this is not read.
const LOG_LIMIT: u64 = 1 << 20;

/// The runtime as it is run for one container.
#[derive(Clone, Debug)]
pub(super) struct Runc {
    program: OsString,
    root: PathBuf,
    bundle: PathBuf,
    systemd_cgroup: bool,
}

/// The standard streams of a command.
pub(super) struct Streams {
    pub(super) stdin: Stdio,
    pub(super) stdout: Stdio,
    pub(super) stderr: Stdio,
}

impl Default for Streams {
    fn default() -> Self {
        Self { stdin: Stdio::null(), stdout: Stdio::null(), stderr: Stdio::null() }
    }
}

impl Runc {
    /// The runtime of a container; a request may name another one than the settings.
    pub(super) fn new(config: &LocalConfig, requested: &str) -> Self {
        let program = [requested, &config.runtime, "runc"].into_iter().find(|name| !name.is_empty()).unwrap_or("runc");
        let empty = config.runtime_root.as_os_str().is_empty();
        let root = if empty { Path::new("/run/containerd/runc") } else { config.runtime_root.as_path() };
        Self {
            program: program.into(),
            root: root.join(&config.namespace),
            bundle: config.bundle.clone(),
            systemd_cgroup: config.systemd_cgroup,
        }
    }

    /// Whether the runtime has a container of that id.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.root.join(id).symlink_metadata().is_ok()
    }

    /// Runs a command that says nothing.
    pub(super) async fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Answer<()> {
        self.run_with(arguments, Streams::default()).await
    }

    /// Runs a command with the streams that the container is to have.
    pub(super) async fn run_with<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        streams: Streams,
    ) -> Answer<()> {
        let (mut command, name) = self.command(arguments);
        command.stdin(streams.stdin).stdout(streams.stdout).stderr(streams.stderr);
        let logged = self.log_size();
        let mut command = tokio::process::Command::from(command);
        let mut child = command.spawn().map_err(|error| self.not_run(&error))?;
        // The command holds the container's ends of the streams as well.
        drop(command);
        let status = child.wait().await.map_err(failed)?;
        self.judge(&name, status, logged)
    }

    /// Runs a command for what it prints.
    pub(super) async fn ask<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Answer<Vec<u8>> {
        let (mut command, name) = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let logged = self.log_size();
        let child = tokio::process::Command::from(command).spawn().map_err(|error| self.not_run(&error))?;
        let output = child.wait_with_output().await.map_err(failed)?;
        self.judge(&name, output.status, logged).map(|()| output.stdout)
    }

    /// Ends a container and removes what the runtime knows of it.
    pub(super) async fn delete_force(&self, id: &str) -> Answer<()> {
        self.run(["delete", "--force", id]).await
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> (Command, String) {
        let mut arguments = arguments.into_iter();
        let verb = arguments.next();
        let name = verb.as_ref().map(|verb| verb.as_ref().to_string_lossy().into_owned()).unwrap_or_default();
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", DEFAULT_PATH).env(MARK, &self.bundle);
        command.envs(ENVIRONMENT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.arg("--root").arg(&self.root).arg("--log").arg(self.log()).args(["--log-format", "json"]);
        if self.systemd_cgroup {
            command.arg("--systemd-cgroup");
        }
        // Its own process group: a Ctrl-C on our terminal does not stop it half-way.
        command.args(verb).args(arguments).current_dir(&self.bundle).process_group(0);
        keep_descriptors_private(&mut command);
        (command, name)
    }

    fn not_run(&self, error: &std::io::Error) -> ttrpc::Error {
        failed(format_args!("cannot run the runtime {:?}: {error}", self.program))
    }

    fn judge(&self, name: &str, status: ExitStatus, logged: u64) -> Answer<()> {
        if status.success() {
            return Ok(());
        }
        Err(failed(self.last_error(logged).unwrap_or_else(|| format!("{name} of the runtime failed: {status}"))))
    }

    fn log(&self) -> PathBuf {
        self.bundle.join("log.json")
    }

    fn log_size(&self) -> u64 {
        self.log().metadata().map_or(0, |metadata| metadata.len())
    }

    /// The last error in the log since it had a size.
    fn last_error(&self, since: u64) -> Option<String> {
        let mut log = std::fs::File::open(self.log()).ok()?;
        let size = log.metadata().ok()?.len();
        log.seek(SeekFrom::Start(since.max(size.saturating_sub(LOG_LIMIT)))).ok()?;
        let mut text = Vec::new();
        log.take(LOG_LIMIT).read_to_end(&mut text).ok()?;
        let lines = text.split(|byte| *byte == b'\n').rev();
        lines
            .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
            .find(|entry| matches!(entry.get("level").and_then(Value::as_str), Some("error" | "fatal")))
            .and_then(|entry| Some(entry.get("msg")?.as_str()?.trim().to_owned()))
    }
}

/// A file without a name, for what the runtime is to read. It is read from its start.
pub(super) fn unnamed_file(content: &[u8]) -> Answer<OwnedFd> {
    let unnamed = rustix::fs::memfd_create("dunnage", rustix::fs::MemfdFlags::CLOEXEC).map_err(failed)?;
    let mut file = std::fs::File::from(unnamed);
    file.write_all(content).and_then(|()| file.rewind()).map_err(failed)?;
    Ok(file.into())
}
