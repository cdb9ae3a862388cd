//! Surroundings for shims and containers: a node with another bundle, whose shim runs.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use dunnage_tests::Outcome;
use dunnage_tests::containers::{Base, Node, ShimKind};
use dunnage_tests::mounts;
use tempfile::TempDir;

use crate::checks::{Tree, added, by_path, ensure};
use crate::strike::Log;

/// What a container says, so that its output can be told from nothing.
pub(crate) const WORDS: &str = "hello";
/// How long what was killed may take to be gone.
const ROUNDS: u32 = 500;

/// A node that is used for one fault after the other.
pub(crate) struct Bed {
    pub(crate) node: Node,
    pub(crate) log: TempDir,
    spec: PathBuf,
    other: u64,
    running: Vec<u32>,
    before: Tree,
}

impl Bed {
    pub(crate) fn new(shim: ShimKind) -> Self {
        let node = Node::with(shim);
        let log = TempDir::with_prefix("dunnage-log-").expect("a temporary directory");
        let sleep = ["/bin/sleep", "1000"];
        let other = node.spec(Base::Plain, "other", &sleep, false);
        node.dunnage(["create", "other", "--spec", other.to_str().expect("UTF-8")]).expect(0);
        let started = node.dunnage(["shim", "start", "other", "-o", "json"]).expect(0).json();
        // Makes what runc makes only once.
        node.run(Base::Plain, "web", &["/bin/true"], []).expect(0);
        let spec = node.spec(Base::Plain, "web", &sleep, false);
        let mut bed = Self {
            node,
            log,
            spec,
            other: started["pid"].as_u64().expect("a pid"),
            running: Vec::new(),
            before: Tree::new(),
        };
        bed.running = bed.processes().into_iter().map(|(pid, _)| pid).collect();
        bed.before = bed.tree();
        bed
    }

    /// Everything there is, except the log of the other shim.
    pub(crate) fn tree(&self) -> Tree {
        let mut tree = by_path(self.node.scratch.tree());
        tree.retain(|path, _| !path.contains("/shims/default/other/log") && path != "web.json");
        tree
    }

    pub(crate) fn create(&self) -> Outcome {
        self.node.dunnage(["create", "web", "--spec", self.spec.to_str().expect("UTF-8")])
    }

    /// The bundle is as its creation left it.
    pub(crate) fn complete(&self) -> Result<(), String> {
        let bundle = self.node.scratch.bundle("web");
        let config = fs::read(bundle.join("config.json")).ok();
        ensure!(config.is_some(), "the bundle is not complete");
        ensure!(bundle.join("rootfs").is_dir(), "the bundle has no rootfs");
        ensure!(self.node.scratch.work_dir("web").is_dir(), "the bundle has no work directory");
        Ok(())
    }

    /// Processes of the test, monitors too: those are known by what they have open.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let mut found = self.node.processes();
        found.extend(self.monitors().into_iter().map(|pid| (pid, "dunnage-monitor".to_owned())));
        found
    }

    /// The monitors of this node's shims.
    pub(crate) fn monitors(&self) -> Vec<u32> {
        let here = self.node.scratch.path();
        let is_ours = |pid: &u32| {
            let process = PathBuf::from(format!("/proc/{pid}"));
            let named = fs::read(process.join("cmdline")).is_ok_and(|line| line.starts_with(b"dunnage-monitor\0"));
            let open = || fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
            named && open().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(here)))
        };
        let entries = fs::read_dir("/proc").expect("/proc").flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
    }

    /// The monitors that were not there before.
    pub(crate) fn new_monitors(&self) -> Vec<u32> {
        self.monitors().into_iter().filter(|pid| !self.running.contains(pid)).collect()
    }

    /// Nothing runs but what did before; what was killed may take a moment.
    pub(crate) fn quiet(&self) -> Result<(), String> {
        let mut running = Vec::new();
        for _ in 0..ROUNDS {
            running = self.processes();
            running.retain(|(pid, _)| !self.running.contains(pid));
            if running.is_empty() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(format!("still running: {running:?}"))
    }

    /// Nothing is there but what was there before, and that as it was; the other shim serves.
    pub(crate) fn clean(&self) -> Result<(), String> {
        self.quiet()?;
        let now = self.tree();
        let (left, gone) = (added(&self.before, &now), added(&now, &self.before));
        ensure!(left.is_empty() && gone.is_empty(), "left: {left:?}, gone: {gone:?}");
        let mounted = mounts::below(self.node.scratch.path());
        ensure!(mounted.is_empty(), "mounted: {mounted:?}");
        let other = self.node.dunnage(["shim", "info", "other", "-o", "json"]);
        ensure!(other.code == Some(0) && other.json()["pid"] == self.other, "the other shim: {other:?}");
        Ok(())
    }

    /// As many things are left as faults have come, since each thread may have met one, and all are
    /// named. Only removing can have failed: the next command must cope with them.
    pub(crate) fn only_named_leftovers(&self, log: &Log, outcome: &Outcome) -> Result<(), String> {
        self.quiet()?;
        let left = added(&self.before, &self.tree());
        ensure!(left.len() <= log.fired().len(), "left: {left:?}");
        for path in left {
            ensure!(outcome.stderr.contains(&path), "{path} is left and not named");
        }
        self.discard_hidden();
        Ok(())
    }

    /// Removes the hidden leftovers of a create that was killed; they do not affect later calls.
    pub(crate) fn discard_hidden(&self) {
        for entry in fs::read_dir(self.node.scratch.state().join("default")).expect("the namespace").flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(".web.")) {
                fs::remove_dir_all(entry.path()).expect("remove a leftover");
            }
        }
    }

    /// Deletes the bundle with all that runs of it.
    pub(crate) fn delete(&self) -> Result<(), String> {
        let deleted = self.node.dunnage(["delete", "web", "--force"]);
        ensure!(deleted.code == Some(0), "deleting: {deleted:?}");
        Ok(())
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // With its shim a monitor goes too.
        for id in ["web", "other"] {
            let _ = self.node.dunnage(["delete", id, "--force"]);
        }
    }
}
