//! Real containers: a root file system, specs, the tools they take, and what must not be left of
//! them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::binary::{self, Outcome};
use crate::{Scratch, mounts, present, privileges, specs};

/// The programs of busybox that containers use.
const APPLETS: [&str; 13] =
    ["cat", "dd", "echo", "false", "head", "id", "setsid", "sh", "sleep", "stty", "test", "true", "tty"];
/// The host's id of root in the user namespace of `userns.json`.
const MAPPED_ROOT: u32 = 100_000;

/// Which spec a container is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Without a user namespace.
    Plain,
    /// With a user namespace that maps root to 100000.
    Userns,
}

/// Both.
pub const BASES: [Base; 2] = [Base::Plain, Base::Userns];

/// Whether a test with real containers can run: as root, with runc, containerd's shim and a static
/// busybox. Without them it says why it does not; where they were promised (`CI=true`) it fails.
#[must_use]
pub fn possible(test: &str) -> bool {
    if !privileges::root(test) {
        return false;
    }
    let missing = present::missing_programs();
    let advice = format!("{test} needs {missing:?}: apt-get install containerd runc busybox-static");
    privileges::possible(missing.is_empty(), &advice)
}

/// A place for containers: a scratch directory with a root file system for each kind of spec, a
/// runtime root, and a cgroup of its own.
pub struct Node {
    /// Where everything of the test lies.
    pub scratch: Scratch,
    cgroup: String,
    shim: ShimKind,
}

/// What runs the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShimKind {
    /// containerd's shim.
    Remote,
    /// Our own, where containerd's cannot be found.
    Local,
}

/// Runs a test with either shim, if that is possible here.
pub fn each_shim(test: &str, run: impl Fn(&Node)) {
    if possible(test) {
        for shim in [ShimKind::Remote, ShimKind::Local] {
            eprintln!("with the shim {shim:?}");
            run(&Node::with(shim));
        }
    }
}

impl Node {
    /// Makes the place.
    #[expect(clippy::new_without_default, reason = "it makes directories, and fails loudly")]
    pub fn new() -> Self {
        Self::with(ShimKind::Remote)
    }

    /// Makes the place, for one kind of shim.
    pub fn with(shim: ShimKind) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let scratch = Scratch::new();
        // The user of a user namespace must get to its root file system.
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o711)).expect("a passable directory");
        let cgroup = format!("dunnage-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let node = Self { scratch, cgroup, shim };
        if shim == ShimKind::Local {
            let runc = ["/usr/sbin/runc", "/usr/bin/runc"].into_iter().find(|path| Path::new(path).exists());
            fs::create_dir(node.tools()).expect("a directory");
            symlink(runc.expect("runc"), node.tools().join("runc")).expect("a link");
        }
        for base in BASES {
            let rootfs = node.rootfs(base);
            for directory in ["", "bin", "dev", "proc", "run", "sys", "tmp"] {
                fs::create_dir_all(rootfs.join(directory)).expect("a directory of the rootfs");
            }
            fs::copy("/bin/busybox", rootfs.join("bin/busybox")).expect("busybox");
            for applet in APPLETS {
                symlink("busybox", rootfs.join("bin").join(applet)).expect("an applet");
            }
            if base == Base::Userns {
                for directory in ["", "bin", "dev", "proc", "run", "sys", "tmp"] {
                    chown(rootfs.join(directory), Some(MAPPED_ROOT), Some(MAPPED_ROOT)).expect("chown");
                }
            }
        }
        node
    }

    /// The root file system of a kind of spec.
    pub fn rootfs(&self, base: Base) -> PathBuf {
        self.scratch.path().join(match base {
            Base::Plain => "rootfs-plain",
            Base::Userns => "rootfs-userns",
        })
    }

    /// A directory with runc and nothing else.
    fn tools(&self) -> PathBuf {
        self.scratch.path().join("tools")
    }

    /// Where runc keeps its state in this test.
    pub fn runtime_root(&self) -> PathBuf {
        self.scratch.path().join("runc")
    }

    /// Writes a spec that runs a program; its path.
    pub fn spec(&self, base: Base, id: &str, program: &[&str], terminal: bool) -> PathBuf {
        let file = match base {
            Base::Plain => "plain.json",
            Base::Userns => "userns.json",
        };
        let mut spec: Value = serde_json::from_slice(&fs::read(specs::data(file)).expect("a spec")).expect("JSON");
        spec["process"]["args"] = json!(program);
        spec["process"]["terminal"] = json!(terminal);
        spec["linux"]["cgroupsPath"] = json!(format!("/{}/{id}", self.cgroup));
        let path = self.scratch.path().join(format!("{id}.json"));
        fs::write(&path, spec.to_string()).expect("write a spec");
        path
    }

    /// Creates the bundle of a container that would run a program.
    pub fn create(&self, id: &str, program: &[&str]) {
        let spec = self.spec(Base::Plain, id, program, false);
        self.dunnage([OsStr::new("create"), id.as_ref(), "--spec".as_ref(), spec.as_ref()]).expect(0);
    }

    /// Makes a spec name its root file system, for commands that are not told otherwise.
    pub fn name_rootfs(&self, base: Base, spec: &Path) {
        let mut named: Value = serde_json::from_slice(&fs::read(spec).expect("the spec")).expect("JSON");
        named["root"]["path"] = json!(self.rootfs(base).to_str().expect("UTF-8"));
        fs::write(spec, named.to_string()).expect("write a spec");
    }

    /// The command that runs a program in a container.
    pub fn command(&self, base: Base, id: &str, program: &[&str], more: &[&str]) -> Command {
        self.command_of(base, id, &self.spec(base, id, program, false), more)
    }

    /// The command that runs a container from a spec.
    pub fn command_of(&self, base: Base, id: &str, spec: &Path, more: &[&str]) -> Command {
        let mut command = self.scratch.command(["run", id]);
        command.arg("--spec").arg(spec).arg("--rootfs").arg(self.rootfs(base));
        command.arg("--runtime-root").arg(self.runtime_root()).args(more);
        if self.shim == ShimKind::Local {
            command.args(["--shim", "local"]).env("PATH", self.tools());
        }
        command
    }

    /// Runs a program in a container that is removed afterwards.
    pub fn run(&self, base: Base, id: &str, program: &[&str], stdin: impl AsRef<[u8]>) -> Outcome {
        binary::run(&mut self.command(base, id, program, &["--rm"]), stdin)
    }

    /// Runs another command.
    pub fn dunnage(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Outcome {
        self.scratch.run(arguments)
    }

    /// The ids of processes that have something to do with this test: their command line or their
    /// working directory leads here.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let here = self.scratch.path().to_str().expect("a path in UTF-8");
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("/proc") {
            let path = entry.expect("an entry").path();
            let Some(pid) = path.file_name().and_then(OsStr::to_str).and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A zombie counts as gone, no matter what reaps it.
            let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
            if pid == std::process::id() || stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z')) {
                continue;
            }
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let cwd = fs::read_link(path.join("cwd")).unwrap_or_default();
            let cgroup = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
            if line.contains(here) || cwd.starts_with(here) || cgroup.contains(&format!("/{}/", self.cgroup)) {
                found.push((pid, line));
            }
        }
        found
    }

    /// Waits until a bundle is gone, for some seconds.
    pub fn wait_for_removal(&self, id: &str) {
        for _ in 0..500 {
            if !self.scratch.bundle(id).exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Insists that no mount, process, cgroup, socket or file is left of any container.
    #[track_caller]
    pub fn expect_nothing_left(&self) {
        // The monitor of a shim that was killed notes that, and ends.
        for _ in 0..200 {
            if self.processes().is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let cgroups: Vec<_> = self.cgroups();
        assert_eq!(cgroups, [] as [PathBuf; 0]);
        self.expect_only_cgroups_left();
    }

    /// Insists that no mount, process, socket or file is left of any container. runc leaves the
    /// cgroups of a container that it was making when it was killed, which containerd's shim does
    /// with it when it is killed itself.
    #[track_caller]
    pub fn expect_only_cgroups_left(&self) {
        assert_eq!(self.processes(), []);
        assert_eq!(mounts::below(self.scratch.path()), [] as [String; 0]);
        let left: Vec<_> = ["state", "root", "sockets", "runc"]
            .iter()
            .map(|name| self.scratch.path().join(name))
            .filter(|path| path.exists())
            .flat_map(|path| crate::scratch::tree(&path))
            // What stays are the directories of namespaces, and the logs of events and decisions.
            .filter(|line| {
                !line.starts_with(".dunnage/events")
                    && !line.starts_with(".dunnage/decisions")
                    && !line.starts_with(".dunnage/pair.json ")
                    && !line.starts_with(".dunnage d")
                    && !line.starts_with(".dunnage/shims d")
            })
            .filter(|line| !line.starts_with("default d") && !line.starts_with(".dunnage/shims/default d"))
            .collect();
        assert_eq!(left, [] as [String; 0]);
    }

    /// The cgroups of containers of this test.
    fn cgroups(&self) -> Vec<PathBuf> {
        let table = fs::read_to_string("/proc/self/mountinfo").expect("the mount table");
        let hierarchies =
            table.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
        hierarchies
            .filter_map(|hierarchy| fs::read_dir(Path::new(hierarchy).join(&self.cgroup)).ok())
            .flatten()
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.is_dir())
            .collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A test that fails leaves nothing running either.
        for (pid, _) in self.processes() {
            if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        for line in mounts::below(self.scratch.path()) {
            if let Some(at) = line.split(' ').nth(4) {
                let _ = rustix::mount::unmount(at, rustix::mount::UnmountFlags::DETACH);
            }
        }
        // runc leaves the parent of a container's cgroup.
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for hierarchy in
            table.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4))
        {
            let parent = Path::new(hierarchy).join(&self.cgroup);
            for child in fs::read_dir(&parent).into_iter().flatten().flatten() {
                let _ = fs::remove_dir(child.path());
            }
            let _ = fs::remove_dir(parent);
        }
    }
}
