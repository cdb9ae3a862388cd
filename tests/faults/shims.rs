//! Starting a shim, and running a whole container: the faults come to our own process alone, not to
//! containerd's shim and runc.

use std::process::Command;

use dunnage_tests::binary::Build;
use dunnage_tests::containers::{Base, ShimKind};

use crate::checks::{added, ensure, message};
use crate::node::{Bed, WORDS};
use crate::recovery;
use crate::strike::{Following, Point, Struck, strike};
use crate::sweep::Victim;

/// `shim start` of a bundle.
pub(crate) struct Start(pub(crate) Build);

const START: [&str; 5] = ["shim", "start", "web", "-o", "json"];

impl Victim for Start {
    type Bed = Bed;

    fn name(&self) -> String {
        format!("shim start ({:?})", self.0)
    }

    fn bed(&self) -> Bed {
        Bed::new(ShimKind::Remote)
    }

    fn bed_lasts(&self) -> bool {
        true
    }

    fn strike(&self, bed: &mut Bed, point: Option<&Point>) -> Struck {
        bed.create().expect(0);
        strike(&bed.node.scratch.command_of(self.0, START), Following::UntilExec, &bed.log.path().join("log"), point)
    }

    fn judge_plain(&self, bed: &mut Bed, struck: &Struck) -> Result<(), String> {
        ensure!(struck.outcome.code == Some(0), "{:?}", struck.outcome);
        serves(bed, &struck.outcome.json())?;
        bed.delete()?;
        bed.clean()
    }

    fn judge_error(&self, bed: &mut Bed, point: &Point, struck: &Struck) -> Result<(), String> {
        if struck.outcome.code == Some(0) {
            return self.judge_plain(bed, struck);
        }
        message(&struck.outcome, &[1, 6, 7], struck.cause(point))?;
        // Our process and its broker may each have met the fault, so that taking back failed too.
        if struck.log.fired().len() > 1 && struck.outcome.stderr.contains("may still be running") {
            bed.complete()?;
            bed.delete()?;
            bed.clean()?;
            return started_anew(bed);
        }
        not_started(bed)
    }

    fn judge_kill(&self, bed: &mut Bed, point: &Point, _: &Struck) -> Result<(), String> {
        bed.complete()?;
        if point.recovers_first() {
            recovery::nothing_left(&bed.node.scratch)?;
            bed.complete()?;
        }
        let again = bed.create();
        ensure!(again.code == Some(4), "creating again: {again:?}");
        bed.delete()?;
        bed.clean()?;
        started_anew(bed)
    }
}

/// The shim is the one on file.
fn serves(bed: &Bed, started: &serde_json::Value) -> Result<(), String> {
    let found = bed.node.dunnage(["shim", "info", "web", "-o", "json"]);
    ensure!(found.code == Some(0) && found.json() == *started, "the shim: {found:?}");
    Ok(())
}

/// A start that failed has left the bundle as it was, and no process; the next one works.
pub(crate) fn not_started(bed: &Bed) -> Result<(), String> {
    bed.quiet()?;
    let left = bed.tree();
    bed.complete()?;
    bed.delete()?;
    bed.create().expect(0);
    let made = bed.tree();
    let (more, less) = (added(&made, &left), added(&left, &made));
    ensure!(more.is_empty() && less.is_empty(), "left: {more:?}, gone: {less:?}");
    bed.delete()?;
    started_anew(bed)
}

/// Creating the bundle and starting its shim works.
fn started_anew(bed: &Bed) -> Result<(), String> {
    bed.create().expect(0);
    let started = run_start(bed)?;
    serves(bed, &started)?;
    bed.delete()?;
    bed.clean()
}

fn run_start(bed: &Bed) -> Result<serde_json::Value, String> {
    let started = bed.node.dunnage(START);
    ensure!(started.code == Some(0), "starting again: {started:?}");
    Ok(started.json())
}

/// `run --rm` of a container that says something, with either shim.
pub(crate) struct Run(pub(crate) ShimKind);

impl Run {
    fn command(bed: &Bed) -> Command {
        bed.node.command(Base::Plain, "web", &["/bin/echo", WORDS], &["--rm"])
    }

    fn works(bed: &Bed) -> Result<(), String> {
        let again = dunnage_tests::run(&mut Self::command(bed), []);
        ensure!(again.code == Some(0) && again.stdout == said(), "running again: {again:?}");
        bed.clean()
    }
}

fn said() -> String {
    format!("{WORDS}\n")
}

impl Victim for Run {
    type Bed = Bed;

    fn name(&self) -> String {
        format!("run (shim {:?})", self.0)
    }

    fn bed(&self) -> Bed {
        Bed::new(self.0)
    }

    fn bed_lasts(&self) -> bool {
        true
    }

    fn strike(&self, bed: &mut Bed, point: Option<&Point>) -> Struck {
        strike(&Self::command(bed), Following::UntilExec, &bed.log.path().join("log"), point)
    }

    fn judge_plain(&self, bed: &mut Bed, struck: &Struck) -> Result<(), String> {
        let outcome = &struck.outcome;
        ensure!(outcome.code == Some(0) && outcome.stdout == said(), "{outcome:?}");
        bed.clean()
    }

    fn judge_error(&self, bed: &mut Bed, point: &Point, struck: &Struck) -> Result<(), String> {
        let outcome = &struck.outcome;
        let lost = struck.log.fired().iter().any(|call| call.starts_with("write(1<") || call.starts_with("write(2<"));
        match outcome.code {
            Some(0) => ensure!(lost || outcome.stdout == said(), "the container's words are lost: {outcome:?}"),
            // A command that cannot write its output any more ends as by SIGPIPE.
            Some(141) if lost => {}
            // The client of the shim keeps to itself why it lost the connection.
            _ => {
                let told = !outcome.stderr.contains("the connection to the shim was lost");
                message(outcome, &[125], struck.cause(point).filter(|_| told))?;
            }
        }
        // Each thread may have met the fault, so that trying again or taking back failed too.
        let again = struck.log.fired().len() > 1;
        if again && bed.node.scratch.bundle("web").exists() {
            bed.complete()?;
            bed.delete()?;
            bed.clean()?;
        } else if again || point.call == "unlinkat" || outcome.code == Some(0) {
            bed.only_named_leftovers(&struck.log, outcome)?;
        } else {
            bed.clean()?;
        }
        Self::works(bed)
    }

    fn judge_kill(&self, bed: &mut Bed, point: &Point, _: &Struck) -> Result<(), String> {
        let there = bed.node.scratch.bundle("web").exists();
        if there {
            bed.complete()?;
        }
        if point.recovers_first() {
            recovery::nothing_left(&bed.node.scratch)?;
        }
        let again = bed.create();
        ensure!(again.code == Some(if there { 4 } else { 0 }), "creating again: {again:?}");
        bed.delete()?;
        recovery::nothing_left(&bed.node.scratch)?;
        bed.clean()?;
        Self::works(bed)
    }
}
