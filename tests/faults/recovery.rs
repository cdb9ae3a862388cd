//! `recover`: what it must have done after every crash, and as a command that is struck itself.

use std::fs;

use dunnage_tests::binary::Build;
use dunnage_tests::{Scratch, run, specs};
use tempfile::TempDir;

use crate::checks::{Tree, added, by_path, ensure, message, part};
use crate::strike::{Following, Point, Struck, strike};
use crate::sweep::Victim;

const COMMAND: [&str; 3] = ["recover", "-o", "json"];
const BUNDLES: [&str; 4] = ["state/default/web", "root/default/web", "state/default/other", "root/default/other"];
/// What crashes have left, relative to the scratch directory.
const LEFTOVERS: [&str; 4] = [
    "state/default/.gone.0123456789abcdef",
    "state/default/.web.0123456789abcdef",
    "state/default/.other.fedcba9876543210",
    "root/default/gone",
];

/// Recovers, after which nothing hidden is left.
pub(crate) fn nothing_left(scratch: &Scratch) -> Result<(), String> {
    let outcome = scratch.run(COMMAND);
    ensure!(outcome.code == Some(0), "recovering: {outcome:?}");
    let mut left = scratch.tree();
    left.retain(|line| line.starts_with("state/default/.") || line.starts_with("root/default/."));
    ensure!(left.is_empty(), "recovering left {left:?}");
    Ok(())
}

/// `recover` of leftovers beside bundles.
pub(crate) struct Recover(pub(crate) Build);

pub(crate) struct Bed {
    scratch: Scratch,
    log: TempDir,
    before: Tree,
}

impl Bed {
    fn tree(&self) -> Tree {
        by_path(self.scratch.tree())
    }

    /// Nothing but leftovers is gone, nothing is new, and the bundles are as they were.
    fn sound(&self) -> Result<(), String> {
        let now = self.tree();
        let new = added(&self.before, &now);
        ensure!(new.is_empty(), "{new:?} is new");
        ensure!(part(&self.before, &BUNDLES) == part(&now, &BUNDLES), "a bundle was touched: {now:?}");
        let gone = added(&now, &self.before);
        let is_leftover = |path: &String| LEFTOVERS.iter().any(|leftover| path.starts_with(leftover));
        ensure!(gone.iter().all(is_leftover), "{gone:?} is gone");
        Ok(())
    }

    /// The next one finishes what is left to do.
    fn recovers(&self) -> Result<(), String> {
        nothing_left(&self.scratch)?;
        self.done()
    }

    fn done(&self) -> Result<(), String> {
        let left = part(&self.tree(), &LEFTOVERS);
        ensure!(left.is_empty(), "leftovers are left: {left:?}");
        self.sound()
    }
}

impl Victim for Recover {
    type Bed = Bed;

    fn name(&self) -> String {
        format!("recover ({:?})", self.0)
    }

    fn bed(&self) -> Bed {
        let log = TempDir::with_prefix("dunnage-log-").expect("a temporary directory");
        let mut bed = Bed { scratch: Scratch::new(), log, before: Tree::new() };
        for id in ["web", "other"] {
            run(bed.scratch.command(["create", id, "--spec"]).arg(specs::data("plain.json")), []).expect(0);
        }
        for leftover in LEFTOVERS {
            let leftover = bed.scratch.path().join(leftover);
            fs::create_dir_all(leftover.join("rootfs/deep")).expect("a leftover");
            fs::write(leftover.join("rootfs/deep/file"), "data").expect("a file");
        }
        bed.before = bed.tree();
        bed
    }

    fn strike(&self, bed: &mut Bed, point: Option<&Point>) -> Struck {
        strike(&bed.scratch.command_of(self.0, COMMAND), Following::Threads, &bed.log.path().join("log"), point)
    }

    fn judge_plain(&self, bed: &mut Bed, struck: &Struck) -> Result<(), String> {
        ensure!(struck.outcome.code == Some(0), "{:?}", struck.outcome);
        bed.done()
    }

    fn judge_error(&self, bed: &mut Bed, point: &Point, struck: &Struck) -> Result<(), String> {
        let outcome = &struck.outcome;
        bed.sound()?;
        // What could not be decided is reported with the rest; what failed as a whole has a message.
        let undecided = outcome.code == Some(1) && outcome.stdout.contains("\"undecided\"");
        if outcome.code == Some(0) {
            bed.done()?;
        } else if !undecided {
            message(outcome, &[1, 6, 7], struck.cause(point))?;
        }
        bed.recovers()
    }

    fn judge_kill(&self, bed: &mut Bed, _: &Point, _: &Struck) -> Result<(), String> {
        bed.sound()?;
        bed.recovers()
    }
}
