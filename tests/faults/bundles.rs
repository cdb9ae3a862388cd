//! Creating and deleting a bundle.

use std::cell::OnceCell;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use dunnage_tests::binary::Build;
use dunnage_tests::{Scratch, mounts, run, specs};
use tempfile::TempDir;

use crate::checks::{Tree, added, by_path, ensure, message, one_named_leftover, part};
use crate::recovery;
use crate::strike::{Following, Point, Struck, strike};
use crate::sweep::Victim;

const BUNDLE: &str = "state/default/web";
const WORK_DIR: &str = "root/default/web";
/// What a crash has left, which is for recovery alone to remove.
const LEFTOVER: &str = "state/default/.web.0123456789abcdef";

/// Which command, in which surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// Where nothing is yet, neither state nor root.
    First,
    /// Beside another bundle and the leftover of a crash.
    Create,
    /// The same with `--durable`.
    Durable,
    /// A create that fails in any case, since the group is not allowed: its undoing is struck.
    Refused,
    /// A bundle with files in it.
    Delete,
    /// A bundle with a mount on `rootfs` and one in it. Takes root and a mount namespace.
    Mounted,
}

impl Case {
    fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::Mounted)
    }
}

/// A command of a build of the binary.
pub(crate) struct Bundles {
    case: Case,
    build: Build,
    /// The tree after a run without a fault.
    done: OnceLock<Tree>,
}

impl Bundles {
    pub(crate) fn new(case: Case, build: Build) -> Self {
        Self { case, build, done: OnceLock::new() }
    }

    fn create(&self, bed: &Bed) -> Command {
        let mut command = bed.scratch.command_of(self.build, ["create", "web", "--spec"]);
        command.arg(spec());
        command
    }

    fn command(&self, bed: &Bed) -> Command {
        let mut command = self.create(bed);
        match self.case {
            Case::First | Case::Create => {}
            Case::Durable => {
                command.arg("--durable");
            }
            Case::Refused => {
                command.args(["--gid-range", "1-9"]);
            }
            Case::Delete | Case::Mounted => command = bed.scratch.command_of(self.build, ["delete", "web"]),
        }
        command
    }
}

/// A spec that maps GID 0 to another group, which takes root; for others one that does not.
fn spec() -> PathBuf {
    specs::data(if rustix::process::geteuid().is_root() { "userns.json" } else { "plain.json" })
}

/// Two directories, and what was there before.
pub(crate) struct Bed {
    scratch: Scratch,
    log: TempDir,
    before: Tree,
    /// Taken when it is first asked for: a bed is good for one run.
    after: OnceCell<Tree>,
}

impl Bed {
    fn new() -> Self {
        let log = TempDir::with_prefix("dunnage-log-").expect("a temporary directory");
        Self { scratch: Scratch::new(), log, before: Tree::new(), after: OnceCell::new() }
    }

    fn tree(&self) -> Tree {
        by_path(self.scratch.tree())
    }

    fn after(&self) -> &Tree {
        self.after.get_or_init(|| self.tree())
    }

    /// The command has left a crash's leftover alone.
    fn leftover_untouched(&self) -> Result<(), String> {
        let touched = part(&self.before, &[LEFTOVER]) != part(self.after(), &[LEFTOVER]);
        ensure!(!touched, "the leftover of a crash was touched");
        self.others_untouched()
    }

    /// Another bundle is as it was.
    fn others_untouched(&self) -> Result<(), String> {
        let others = ["state/default/other", "root/default/other", "precious"];
        let now = self.tree();
        ensure!(part(&self.before, &others) == part(&now, &others), "others were touched: {now:?}");
        let config = self.scratch.bundle("other").join("config.json");
        let same = !config.exists() || fs::read(config).ok() == fs::read(spec()).ok();
        ensure!(same, "the spec of another bundle was touched");
        Ok(())
    }

    /// Makes the same bundle where there should be none, deletes it, and looks at what is left.
    fn usable(&self, there: bool) -> Result<(), String> {
        let dunnage = |arguments: &[&str]| {
            let outcome = self.scratch.run(arguments);
            (outcome.code, outcome)
        };
        let path = spec();
        let (code, outcome) = dunnage(&["create", "web", "--spec", path.to_str().expect("UTF-8")]);
        ensure!(code == Some(if there { 4 } else { 0 }), "creating again: {outcome:?}");
        let (code, outcome) = dunnage(&["delete", "web"]);
        ensure!(code == Some(0) && outcome.stdout == "web\n", "deleting again: {outcome:?}");
        let left = self.tree();
        ensure!(!left.contains_key(BUNDLE) && !left.contains_key(WORK_DIR), "deleting left {left:?}");
        self.others_untouched()
    }
}

impl Victim for Bundles {
    type Bed = Bed;

    fn name(&self) -> String {
        format!("{:?} ({:?})", self.case, self.build)
    }

    fn bed(&self) -> Bed {
        let mut bed = Bed::new();
        if self.case != Case::First {
            let spec = spec();
            let other = ["create", "other", "--spec", spec.to_str().expect("UTF-8")];
            bed.scratch.run(other).expect(0);
            fs::create_dir_all(bed.scratch.path().join(LEFTOVER).join("rootfs")).expect("a leftover");
        }
        if self.case.deletes() {
            run(&mut self.create(&bed), []).expect(0);
            for directory in ["rootfs/a/b", "extra"] {
                let directory = bed.scratch.bundle("web").join(directory);
                fs::create_dir_all(&directory).expect("a directory");
                fs::write(directory.join("file"), "data").expect("a file");
            }
            fs::write(bed.scratch.work_dir("web").join("log"), "data").expect("a file");
        }
        if self.case == Case::Mounted {
            let precious = bed.scratch.path().join("precious");
            fs::create_dir(&precious).expect("a directory");
            fs::write(precious.join("data"), "precious").expect("a file");
            let rootfs = bed.scratch.bundle("web").join("rootfs");
            mounts::tmpfs(&rootfs);
            fs::create_dir(rootfs.join("inside")).expect("a directory");
            mounts::bind(&precious, rootfs.join("inside"));
        }
        bed.before = bed.tree();
        bed
    }

    fn strike(&self, bed: &mut Bed, point: Option<&Point>) -> Struck {
        strike(&self.command(bed), Following::Threads, &bed.log.path().join("log"), point)
    }

    fn judge_plain(&self, bed: &mut Bed, struck: &Struck) -> Result<(), String> {
        let code = if self.case == Case::Refused { 3 } else { 0 };
        ensure!(struck.outcome.code == Some(code), "{:?}", struck.outcome);
        let done = self.done.get_or_init(|| bed.tree());
        ensure!(bed.after() == done, "what is there is not what should be");
        Ok(())
    }

    fn judge_error(&self, bed: &mut Bed, point: &Point, struck: &Struck) -> Result<(), String> {
        let Struck { outcome, .. } = struck;
        ensure!(!outcome.stderr.contains("panicked"), "a panic");
        let succeeded = outcome.code == Some(0);
        if succeeded
            || (self.case == Case::Refused && outcome.code == Some(3) && added(&bed.before, bed.after()).is_empty())
        {
            self.judge_plain(bed, struck)?;
        } else {
            self.failed_cleanly(bed, point, struck)?;
        }
        bed.leftover_untouched()?;
        let there = bed.after().contains_key(BUNDLE);
        ensure!(there == (succeeded != self.case.deletes()) || self.case.deletes(), "the bundle is there: {there}");
        bed.usable(there)
    }

    fn judge_kill(&self, bed: &mut Bed, point: &Point, _: &Struck) -> Result<(), String> {
        let after = bed.after();
        let there = after.contains_key(BUNDLE);
        if there {
            let whole = if self.case.deletes() { &bed.before } else { self.done.get().expect("a run without a fault") };
            let files = if self.case == Case::Mounted {
                &["state/default/web/config.json", WORK_DIR][..]
            } else {
                &[BUNDLE, WORK_DIR]
            };
            ensure!(part(after, files) == part(whole, files), "the bundle is not complete: {after:?}");
            let config = fs::read(bed.scratch.bundle("web").join("config.json")).ok();
            ensure!(config == fs::read(spec()).ok(), "the spec is not the caller's");
        }
        for path in added(&bed.before, after) {
            let bases = ["state", "state/default", "root", "root/default"];
            let hidden = path.starts_with("state/default/.web.");
            ensure!(
                hidden
                    || bases.contains(&path.as_str())
                    || path.starts_with(WORK_DIR)
                    || (there && path.starts_with(BUNDLE)),
                "{path} is left"
            );
        }
        bed.leftover_untouched()?;
        if point.recovers_first() {
            recovery::nothing_left(&bed.scratch)?;
            let left = bed.tree();
            ensure!(left.contains_key(BUNDLE) == there, "recovering made or removed a bundle: {left:?}");
            ensure!(there || !left.contains_key(WORK_DIR), "recovering left a work directory: {left:?}");
        }
        bed.usable(there)?;
        if self.case == Case::Mounted {
            ensure!(mounts::below(bed.scratch.path()).is_empty(), "something is still mounted");
        }
        recovery::nothing_left(&bed.scratch)
    }
}

impl Bundles {
    /// A failure leaves nothing, but where undoing or removing failed.
    fn failed_cleanly(&self, bed: &Bed, point: &Point, struck: &Struck) -> Result<(), String> {
        let outcome = &struck.outcome;
        // The group is refused with its own code, whatever happens to the undoing.
        let codes = if self.case == Case::Refused { &[1, 3, 6, 7][..] } else { &[1, 6, 7] };
        message(outcome, codes, struck.cause(point).filter(|_| outcome.code != Some(3)))?;
        let mut left = added(&bed.before, bed.after());
        if self.case == Case::Mounted {
            // Files that a mount hid show if it was unmounted by then.
            left.retain(|path| !path.starts_with("state/default/web/rootfs"));
        }
        if outcome.stderr.contains("write-output") {
            // The directories of namespaces stay when a bundle is taken back that was there.
            left.retain(|path| !["state", "root"].contains(&path.as_str()) || bed.after().contains_key(BUNDLE));
        }
        match self.case {
            Case::First | Case::Create | Case::Durable => ensure!(left.is_empty(), "{left:?} is left"),
            Case::Refused | Case::Delete | Case::Mounted => one_named_leftover(&left, outcome)?,
        }
        let gone = added(bed.after(), &bed.before);
        let allowed = |path: &String| self.case.deletes() && (path.starts_with(BUNDLE) || path.starts_with(WORK_DIR));
        ensure!(gone.iter().all(allowed), "{gone:?} is gone");
        let kept = bed.after().contains_key(BUNDLE);
        // What was mounted may be unmounted by then, but everything else is whole.
        let whole = self.case == Case::Mounted
            || part(bed.after(), &[BUNDLE, WORK_DIR]) == part(&bed.before, &[BUNDLE, WORK_DIR]);
        ensure!(!kept || whole, "the bundle is there and not whole");
        Ok(())
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for line in mounts::below(self.scratch.path()).iter().rev() {
            if let Some(at) = line.split(' ').nth(4) {
                let _ = rustix::mount::unmount(at, rustix::mount::UnmountFlags::DETACH);
            }
        }
    }
}
