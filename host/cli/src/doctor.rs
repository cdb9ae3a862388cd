//! `doctor`: what of this machine works, and what to do about what does not.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Args;
use dunnage::shim::MAX_ADDRESS;
use serde::Serialize;

use super::confine::{Profile, confine};
use super::failure::Failed;
use super::options::Global;
use super::output::columns;
use super::reach::closed_ancestor;

/// Check what this machine has of what containers need
#[derive(Args)]
#[command(
    after_help = "Changes nothing. The exit code is 1 if something is missing that containers cannot do without.\n\n\
    Example:\n  dunnage doctor -o json"
)]
pub(super) struct Doctor {}

/// A group that nothing belongs to: what it may do, everybody may.
const NO_GROUP: u32 = u32::MAX;

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// It works.
    Ok,
    /// Something works less well, or only some of it.
    Warning,
    /// Containers cannot do without.
    Missing,
}

#[derive(Serialize)]
struct Check {
    check: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, found: found.into(), advice: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, found: found.into(), advice: Some(advice.into()) }
    }

    fn missing(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Missing, found: found.into(), advice: Some(advice.into()) }
    }
}

impl Doctor {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let Self {} = self;
        let mut checks = vec![kernel(), user(), proc(), cgroups(), runtime(), shim()];
        checks.extend(
            [("state directory", &global.state), ("root directory", &global.root)]
                .map(|(name, path)| directory(name, path)),
        );
        checks.push(directory("socket directory", &global.socket_root));
        checks.push(socket_path(global));
        // Last: it cannot be taken back.
        checks.push(confinement(global));
        let is_missing = checks.iter().any(|check| check.verdict == Verdict::Missing);
        global.output.show(&checks, |checks| {
            let rows: Vec<_> = checks.iter().map(Check::row).collect();
            columns(["CHECK", "VERDICT", "FOUND", "WHAT TO DO"], &rows)
        })?;
        if is_missing { Err(Failed::reported(1).into()) } else { Ok(()) }
    }
}

impl Check {
    fn row(&self) -> [String; 4] {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Missing => "missing",
        };
        [self.check.to_owned(), verdict.to_owned(), self.found.clone(), self.advice.clone().unwrap_or_default()]
    }
}

/// The first line of a file.
fn line(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()?.lines().next().map(str::to_owned)
}

fn kernel() -> Check {
    let release = line("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (5, 9) {
        Check::ok("kernel", release)
    } else {
        Check::missing("kernel", format!("{release:?}"), "Linux 5.9 or later is needed")
    }
}

fn user() -> Check {
    let (uid, _) = dunnage_sys::effective_ids();
    if uid == 0 {
        Check::ok("user", "root")
    } else {
        Check::warning("user", format!("user {uid}"), "only root can run containers and give bundles to groups")
    }
}

fn proc() -> Check {
    if Path::new("/proc/self/mountinfo").exists() {
        Check::ok("/proc", "mounted")
    } else {
        Check::missing("/proc", "not mounted", "mount -t proc proc /proc")
    }
}

fn cgroups() -> Check {
    if let Some(controllers) = line("/sys/fs/cgroup/cgroup.controllers") {
        return if controllers.split(' ').any(|controller| controller == "memory") {
            Check::ok("cgroups", format!("version 2: {controllers}"))
        } else {
            Check::warning(
                "cgroups",
                format!("version 2: {controllers}"),
                "limits of memory need the controller `memory`",
            )
        };
    }
    let v1: Vec<_> = ["memory", "cpu", "pids", "freezer", "devices"]
        .into_iter()
        .filter(|name| Path::new("/sys/fs/cgroup").join(name).is_dir())
        .collect();
    if v1.is_empty() {
        Check::missing("cgroups", "none", "mount the cgroup file systems")
    } else if v1.contains(&"freezer") {
        Check::ok("cgroups", format!("version 1: {}", v1.join(" ")))
    } else {
        Check::warning("cgroups", format!("version 1: {}", v1.join(" ")), "pausing needs the controller `freezer`")
    }
}

/// A program in `PATH`.
fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| dunnage_sys::is_executable(file))
}

fn runtime() -> Check {
    let Some(program) = find("runc") else {
        return Check::missing("runc", "not in PATH", "install runc (apt-get install runc)");
    };
    let output = Command::new(&program).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout);
            Check::ok("runc", format!("{}: {}", program.display(), version.lines().next().unwrap_or_default()))
        }
        Ok(output) => Check::missing("runc", format!("{}: {}", program.display(), output.status), "reinstall it"),
        Err(error) => Check::missing("runc", format!("{}: {error}", program.display()), "reinstall it"),
    }
}

fn shim() -> Check {
    match find("containerd-shim") {
        Some(program) => Check::ok("containerd-shim", program.display().to_string()),
        None => {
            Check::warning("containerd-shim", "not in PATH", "run containers with --shim local, or install containerd")
        }
    }
}

fn directory(name: &'static str, path: &Path) -> Check {
    let shown = path.display();
    let Ok(found) = fs::metadata(path) else {
        return Check::ok(name, format!("{shown}: not there yet, made when it is needed"));
    };
    let (uid, _) = dunnage_sys::effective_ids();
    let mode = found.mode() & 0o7777;
    if !found.is_dir() {
        Check::missing(name, format!("{shown}: not a directory"), "name another one")
    } else if found.uid() != uid {
        Check::missing(name, format!("{shown}: it belongs to user {}", found.uid()), format!("chown {uid} {shown}"))
    } else if mode & 0o022 != 0 {
        Check::missing(
            name,
            format!("{shown}: others can write to it (mode {mode:04o})"),
            format!("chmod go-w {shown}"),
        )
    } else if let Some(closed) = closed_ancestor(&path.join("."), NO_GROUP) {
        let what = format!("{shown}: containers with a user namespace cannot get there through {}", closed.display());
        Check::warning(name, what, format!("chmod o+x {}", closed.display()))
    } else {
        Check::ok(name, format!("{shown}: mode {mode:04o}"))
    }
}

/// Sockets are named by a hash, so the directory alone decides.
fn socket_path(global: &Global) -> Check {
    /// What comes around the directory: `unix://`, a slash and a hash.
    const AROUND: usize = 72;
    let length = global.socket_root.as_os_str().len() + AROUND;
    if length <= MAX_ADDRESS {
        Check::ok("socket address", format!("{length} of {MAX_ADDRESS} bytes"))
    } else {
        let found = format!("{length} bytes, but at most {MAX_ADDRESS} can be bound");
        Check::missing("socket address", found, "choose a shorter --socket-root")
    }
}

fn confinement(global: &Global) -> Check {
    let report = confine(global, &Profile::NOTHING);
    if global.no_confine {
        Check::warning("confinement", report, "leave out --no-confine")
    } else if report.contains("does not") || report.contains("not ") {
        Check::warning("confinement", report, "a kernel with Landlock (5.13 or later) and seccomp confines commands")
    } else {
        Check::ok("confinement", report)
    }
}
