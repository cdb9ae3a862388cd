//! Running the runtime for one container.

use std::ffi::OsStr;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use dunnage_sys::MARK;
use serde_json::Value;

use crate::LocalConfig;
use crate::answer::{RpcResult, failed};
use crate::children::Children;

/// More of the log than this is not read.
const LOG_LIMIT: u64 = 1 << 20;

/// The runtime as it is run for one container.
#[derive(Clone, Debug)]
pub(super) struct Runc {
    runtime: dunnage_oci_runtime::Runc,
    bundle: PathBuf,
    systemd_cgroup: bool,
    children: Arc<Children>,
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
    pub(super) fn new(config: &LocalConfig, requested: &str, children: &Arc<Children>) -> Self {
        let program = if requested.is_empty() { &config.runtime } else { requested };
        let runtime = dunnage_oci_runtime::Runc::new(OsStr::new(program), &config.runtime_root, &config.namespace);
        Self {
            runtime,
            bundle: config.bundle.clone(),
            systemd_cgroup: config.systemd_cgroup,
            children: Arc::clone(children),
        }
    }

    /// Whether the runtime has a container of that id.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.runtime.knows(id)
    }

    /// Runs a command that says nothing.
    pub(super) async fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> RpcResult<()> {
        self.run_with(arguments, Streams::default()).await
    }

    /// Runs a command with the streams that the container is to have.
    pub(super) async fn run_with<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        streams: Streams,
    ) -> RpcResult<()> {
        let (mut command, name) = self.command(arguments);
        command.stdin(streams.stdin).stdout(streams.stdout).stderr(streams.stderr);
        let logged = self.log_size();
        let _running = self.children.command();
        let mut command = tokio::process::Command::from(command);
        let mut child = command.spawn().map_err(|error| self.not_run(&error))?;
        // The command holds the container's ends of the streams as well.
        drop(command);
        let status = child.wait().await.map_err(failed)?;
        self.judge(&name, status, logged)
    }

    /// Runs a command for what it prints.
    pub(super) async fn ask<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> RpcResult<Vec<u8>> {
        let (mut command, name) = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let logged = self.log_size();
        let _running = self.children.command();
        let child = tokio::process::Command::from(command).spawn().map_err(|error| self.not_run(&error))?;
        let output = child.wait_with_output().await.map_err(failed)?;
        self.judge(&name, output.status, logged).map(|()| output.stdout)
    }

    /// Ends a container and removes what the runtime knows of it.
    pub(super) async fn delete_force(&self, id: &str) -> RpcResult<()> {
        self.run(["delete", "--force", id]).await
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> (Command, String) {
        let mut arguments = arguments.into_iter();
        let verb = arguments.next();
        let name = verb.as_ref().map(|verb| verb.as_ref().to_string_lossy().into_owned()).unwrap_or_default();
        let mut command = self.runtime.command();
        command.env(MARK, &self.bundle).current_dir(&self.bundle);
        command.arg("--log").arg(self.log()).args(["--log-format", "json"]);
        if self.systemd_cgroup {
            command.arg("--systemd-cgroup");
        }
        command.args(verb).args(arguments);
        (command, name)
    }

    fn not_run(&self, error: &std::io::Error) -> ttrpc::Error {
        failed(format_args!("cannot run the runtime {:?}: {error}", self.runtime.program()))
    }

    fn judge(&self, name: &str, status: ExitStatus, logged: u64) -> RpcResult<()> {
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
