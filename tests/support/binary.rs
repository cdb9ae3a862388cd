//! The binary, as users get it and with the feature `policy-file`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::sabotage;

/// Which build of the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// With default features: no compiler inside.
    Default,
    /// With the feature `policy-file`.
    PolicyFile,
    /// From sources with mistakes that a harness must find: see `sabotage.rs`.
    Sabotaged,
}

/// The path of the binary, built if need be.
///
/// `cargo test` does not build the binaries of other packages, so this does, in the same target
/// directory (the outer cargo holds no lock while tests run) and with the same profile.
pub fn path(build: Build) -> &'static Path {
    static DEFAULT: OnceLock<PathBuf> = OnceLock::new();
    static POLICY_FILE: OnceLock<PathBuf> = OnceLock::new();
    static SABOTAGED: OnceLock<PathBuf> = OnceLock::new();
    match build {
        Build::Default => DEFAULT.get_or_init(|| compile("dunnage-default", "", None)),
        Build::PolicyFile => POLICY_FILE.get_or_init(|| compile("dunnage-policy-file", "policy-file", None)),
        Build::Sabotaged => SABOTAGED.get_or_init(|| {
            let sources = sabotage::sources(&target_dir());
            compile("dunnage-sabotaged", "", Some(&sources))
        }),
    }
}

/// …/target/release/deps/test-0123 → …/target/release
fn profile_dir() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    test.ancestors().nth(2).expect("a target directory").to_owned()
}

fn target_dir() -> PathBuf {
    profile_dir().parent().expect("a target directory").to_owned()
}

/// Builds the binary from this repository's sources, or from others.
fn compile(name: &str, features: &str, sources: Option<&Path>) -> PathBuf {
    let profile_dir = profile_dir();
    let copy = profile_dir.join(name);
    // Both builds end up under the same name, and other test processes build too.
    let lock = File::create(profile_dir.join("dunnage-binary.lock")).expect("a lock file");
    flock(&lock, FlockOperation::LockExclusive).expect("lock");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy().into_owned();
        if text.starts_with("CARGO_")
            && !["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_TARGET_DIR", "CARGO_INCREMENTAL"]
                .iter()
                .any(|kept| text.starts_with(kept))
        {
            cargo.env_remove(variable);
        }
    }
    cargo.args(["build", "--quiet"]);
    if features == "policy-file" {
        // The tests turn that on for the whole workspace: with all of it everything is built already.
        cargo.args(["--workspace", "--bins", "--tests", "--features", "dunnage-cli/policy-file"]);
    } else {
        cargo.args(["--package", "dunnage-cli", "--bin", "dunnage"]);
    }
    // Other sources have less to be locked; what they need is here by now.
    cargo.arg(if sources.is_some() { "--offline" } else { "--locked" });
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    cargo.arg("--target-dir").arg(target_dir()).current_dir(sources.unwrap_or(crate::scratch::repository()));
    let built = profile_dir.join("dunnage");
    let _set_aside = sources.map(|_| SetAside::new(&built));
    let status = cargo.status().expect("cargo");
    assert!(status.success(), "cannot build the binary");
    let fresh = copy.with_extension("new");
    std::fs::copy(built, &fresh).expect("copy the binary");
    std::fs::rename(&fresh, &copy).expect("rename the binary");
    copy
}

/// The file of the binary's name while another is built, which must not be found there afterwards.
struct SetAside {
    path: PathBuf,
    aside: PathBuf,
}

impl SetAside {
    fn new(path: &Path) -> Self {
        let aside = path.with_extension("kept");
        // cargo creates the name again, and does not write to the file that has it.
        let _ = std::fs::rename(path, &aside);
        Self { path: path.to_owned(), aside }
    }
}

impl Drop for SetAside {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::rename(&self.aside, &self.path);
    }
}

/// What a run of the binary gave.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code, or `None` for a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Insists on an exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// How long a command may take before it counts as hanging.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// The same command as the arguments of another program, with the same environment.
#[must_use]
pub fn through<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>, command: &Command) -> Command {
    // By our own PATH: that of the command may lead elsewhere.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.exists());
    let mut wrapped = Command::new(found.unwrap_or_else(|| program.into()));
    wrapped.args(arguments).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// Runs a command to its end with this standard input. One that hangs is killed, and its exit code
/// is `None`.
pub fn run(command: &mut Command, stdin: impl AsRef<[u8]>) -> Outcome {
    run_within(COMMAND_TIMEOUT, command, stdin)
}

/// The same, with another idea of when a command hangs.
pub fn run_within(patience: Duration, command: &mut Command, stdin: impl AsRef<[u8]>) -> Outcome {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start the command");
    let mut pipe = child.stdin.take().expect("a pipe");
    let input = stdin.as_ref().to_vec();
    let writer = std::thread::spawn(move || {
        // A command that does not read all of it is not a fault of the test.
        let _ = pipe.write_all(&input);
    });
    let output = wait(child, patience);
    writer.join().expect("the writer");
    output.into()
}

/// Waits for a process and reads what it prints; kills it if that takes absurdly long.
fn wait(child: Child, patience: Duration) -> Output {
    let pid = Pid::from_child(&child);
    let (done, finished) = channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if finished.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            eprintln!("a command hangs and is killed");
            // strace has what it traces with it in a group of its own.
            let _ = kill_process_group(pid, Signal::KILL).or_else(|_| kill_process(pid, Signal::KILL));
        }
    });
    let output = child.wait_with_output().expect("the output");
    drop(done);
    watchdog.join().expect("the watchdog");
    output
}

/// A command of the binary with an environment of its own.
pub fn command(build: Build, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(path(build));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("DUNNAGE_") {
            command.env_remove(variable);
        }
    }
    command.args(arguments);
    command
}
