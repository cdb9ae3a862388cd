//! All points of a command, each tried in surroundings of its own, and the count of how they went.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::calls::{KINDS, may_fail};
use crate::strike::{Census, Fault, Log, Point, Struck};

/// Commands that run side by side: more than there are processors, since each waits a lot.
const WORKERS: usize = 3;

/// A command that faults are injected into.
pub(crate) trait Victim: Sync {
    /// What it runs in: made again after a failure, else as often as the victim likes.
    type Bed;

    fn name(&self) -> String;

    /// Makes the surroundings.
    fn bed(&self) -> Self::Bed;

    /// Whether the surroundings are good for another point.
    fn bed_lasts(&self) -> bool {
        false
    }

    /// Runs the command with a fault, or without one.
    fn strike(&self, bed: &mut Self::Bed, point: Option<&Point>) -> Struck;

    /// What must hold after a run without a fault; it may remember what that looks like.
    fn judge_plain(&self, bed: &mut Self::Bed, struck: &Struck) -> Result<(), String>;

    /// What must hold after an error was returned.
    fn judge_error(&self, bed: &mut Self::Bed, point: &Point, struck: &Struck) -> Result<(), String>;

    /// What must hold after the process was killed.
    fn judge_kill(&self, bed: &mut Self::Bed, point: &Point, struck: &Struck) -> Result<(), String>;
}

/// How many of the points are tried.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
    /// Every one, with every error.
    Complete,
    /// Every one, with one of the errors in turn.
    EveryCall,
    /// At most this many of each kind of call, spread evenly, with one of the errors in turn.
    Some(usize),
}

impl Extent {
    /// The requested extent: `DUNNAGE_LONG=1` tries everything.
    pub(crate) fn usual(short: Self) -> Self {
        if std::env::var_os("DUNNAGE_LONG").is_some_and(|long| long == "1") { Self::Complete } else { short }
    }

    fn points(self, census: &Census, killing: bool) -> Vec<Point> {
        let mut points = Vec::new();
        let mut turn = 0;
        for kind in &KINDS {
            let all = 1..=census.count(kind.call);
            let worth_trying = all.filter(|nth| killing || census.may_fail(kind.call, *nth)).collect();
            for nth in self.chosen(worth_trying) {
                let point = |fault| Point { call: kind.call, nth, fault };
                turn += 1;
                match self {
                    _ if killing => points.push(point(Fault::Kill)),
                    Self::Complete => points.extend(kind.errors.iter().map(|error| point(Fault::Error(error)))),
                    Self::EveryCall | Self::Some(_) => {
                        points.push(point(Fault::Error(kind.errors[turn % kind.errors.len()])));
                    }
                }
            }
        }
        points
    }

    fn chosen(self, all: Vec<usize>) -> Vec<usize> {
        match self {
            Self::Some(most) if all.len() > most => {
                (0..most).map(|place| all[place * (all.len() - 1) / (most - 1)]).collect()
            }
            Self::Some(_) | Self::Complete | Self::EveryCall => all,
        }
    }
}

/// How a point went.
enum Verdict {
    /// The call was never made that often.
    Missed,
    /// It says nothing about us: the dynamic loader, or strace in our place, failed before a single
    /// instruction of ours, or the kernel never gives that error.
    Excluded,
    Passed,
    Failed(String),
}

/// The points of one kind of call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) fired: usize,
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) excluded: usize,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.fired += other.fired;
        self.passed += other.passed;
        self.failed += other.failed;
        self.excluded += other.excluded;
    }
}

/// What a table calls the two kinds of faults.
const ERROR: &str = "error";
const KILL: &str = "kill";

/// The points of a command.
#[derive(Debug, Default)]
pub(crate) struct SweepReport {
    pub(crate) by_call: BTreeMap<(&'static str, &'static str), Tally>,
    pub(crate) failures: Vec<String>,
}

impl SweepReport {
    pub(crate) fn total(&self) -> Tally {
        let mut total = self.total_of(ERROR);
        total.add(self.total_of(KILL));
        total
    }

    fn total_of(&self, mode: &str) -> Tally {
        let mut total = Tally::default();
        self.by_call.iter().filter(|((of, _), _)| *of == mode).for_each(|(_, tally)| total.add(*tally));
        total
    }

    fn add(&mut self, point: &Point, verdict: Verdict) {
        let mode = if point.fault == Fault::Kill { KILL } else { ERROR };
        let one = match verdict {
            Verdict::Missed => return,
            Verdict::Excluded => Tally { excluded: 1, ..Tally::default() },
            Verdict::Passed => Tally { fired: 1, passed: 1, ..Tally::default() },
            Verdict::Failed(why) => {
                self.failures.push(format!("{point}: {why}"));
                Tally { fired: 1, failed: 1, ..Tally::default() }
            }
        };
        self.by_call.entry((mode, point.call)).or_default().add(one);
    }

    /// The table that a reader of the test's output gets.
    fn print(&self, name: &str) {
        let mut table = format!("{name}\n  mode   call             fired passed failed excluded\n");
        let row = |mode: &str, call: &str, tally: &Tally| {
            let Tally { fired, passed, failed, excluded } = tally;
            format!("  {mode:6} {call:15} {fired:6} {passed:6} {failed:6} {excluded:8}\n")
        };
        for ((mode, call), tally) in &self.by_call {
            table.push_str(&row(mode, call, tally));
        }
        for mode in [ERROR, KILL] {
            table.push_str(&row(mode, "all", &self.total_of(mode)));
        }
        for failure in &self.failures {
            table.push_str(&format!("  FAILED {failure}\n"));
        }
        println!("{table}");
    }

    /// Insists that faults came, and that all of them did no harm.
    #[track_caller]
    pub(crate) fn expect_sound(&self, least: usize) {
        let total = self.total();
        assert!(total.fired >= least, "only {} points fired: {:?}", total.fired, self.by_call);
        assert_eq!(total.failed, 0, "{:#?}", self.failures);
    }
}

/// Tries the points of a command.
pub(crate) fn sweep<V: Victim>(victim: &V, extent: Extent) -> SweepReport {
    let census = census(victim);
    let points: Vec<_> = [false, true].into_iter().flat_map(|killing| extent.points(&census, killing)).collect();
    let (next, report) = (AtomicUsize::new(0), Mutex::new(SweepReport::default()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let mut bed = None;
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = attempt(victim, &mut bed, point);
                    report.lock().expect("the report").add(point, verdict);
                }
            });
        }
    });
    let report = report.into_inner().expect("the report");
    report.print(&victim.name());
    report
}

/// Which calls the command makes, and that it works without a fault.
fn census<V: Victim>(victim: &V) -> Census {
    let mut bed = victim.bed();
    let struck = victim.strike(&mut bed, None);
    let census = struck.log.census();
    victim.judge_plain(&mut bed, &struck).unwrap_or_else(|why| panic!("{} without a fault: {why}", victim.name()));
    census
}

fn attempt<V: Victim>(victim: &V, bed: &mut Option<V::Bed>, point: &Point) -> Verdict {
    let tried = catch_unwind(AssertUnwindSafe(|| {
        let bed = bed.get_or_insert_with(|| victim.bed());
        let struck = victim.strike(bed, Some(point));
        let verdict = judge(victim, bed, point, &struck);
        (verdict, struck)
    }));
    let verdict = match tried {
        Ok((Err(why), struck)) => Verdict::Failed(format!("{why}; at {:?}; {:?}", struck.log.fired(), struck.outcome)),
        Ok((Ok(verdict), _)) => verdict,
        Err(panic) => Verdict::Failed(text_of(panic.as_ref())),
    };
    if !victim.bed_lasts() || matches!(verdict, Verdict::Failed(_) | Verdict::Excluded) {
        *bed = None;
    }
    verdict
}

fn judge<V: Victim>(victim: &V, bed: &mut V::Bed, point: &Point, struck: &Struck) -> Result<Verdict, String> {
    if struck.log.fired().is_empty() && !strace_failed(&struck.outcome.stderr) {
        victim.judge_plain(bed, struck)?;
        return Ok(Verdict::Missed);
    }
    match point.fault {
        Fault::Error(_) if before_us(struck) || !struck.log.fired().iter().all(|call| may_fail(call)) => {
            Ok(Verdict::Excluded)
        }
        Fault::Error(_) => victim.judge_error(bed, point, struck).map(|()| Verdict::Passed),
        Fault::Kill if in_the_loader(&struck.log) => victim.judge_kill(bed, point, struck).map(|()| Verdict::Excluded),
        Fault::Kill => victim.judge_kill(bed, point, struck).map(|()| Verdict::Passed),
    }
}

/// strace itself runs the command, with an `execve` that faults come to as well.
fn strace_failed(stderr: &str) -> bool {
    stderr.starts_with("strace: exec")
}

/// The dynamic loader has given up (its exit code is 127), or strace has.
fn before_us(struck: &Struck) -> bool {
    let Struck { outcome, .. } = struck;
    strace_failed(&outcome.stderr)
        || (outcome.code == Some(127) && outcome.stderr.contains("error while loading shared libraries"))
}

/// Whether the process was killed while it looked for its libraries.
fn in_the_loader(log: &Log) -> bool {
    log.fired().iter().all(|call| call.contains(".so."))
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic".to_owned())
}
