//! `bench`: how fast this is on this machine, through the public API.

mod run;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use dunnage::guards::{Decision, Operation, ReviewRequest};
use dunnage::{Dunnage, Spec};
use serde::Serialize;

use super::confine::{Profile, confine, confine_beside_broker};
use super::failure::usage;
use super::options::Global;
use super::output::pairs;
use super::progress::Progress;

/// Measure performance on this machine
#[derive(Subcommand)]
pub(super) enum Bench {
    /// Create and delete a bundle, as one operation
    #[command(
        after_help = "Example:\n  dunnage --state /dev/shm/s --root /dev/shm/r bench cycle --spec config.json --count 10000"
    )]
    Cycle(Options),
    /// Determine the remapped group, as one operation
    #[command(after_help = "Example:\n  dunnage bench gid --spec config.json --count 100000")]
    Gid(Options),
    /// Ask the guards, as one operation: those of the settings file, or the built-in one
    #[command(after_help = "Example:\n  dunnage bench guard --spec config.json --count 100000")]
    Guard(Options),
    Run(run::Run),
}

#[derive(Args)]
pub(super) struct Options {
    /// OCI runtime spec (config.json), `-` for standard input
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
    /// Total number of operations
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    count: u32,
    /// Number of parallel threads
    #[arg(long, value_name = "J", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: u32,
}

#[derive(Serialize)]
struct OperationReport {
    operation: &'static str,
    count: u32,
    jobs: u32,
    seconds: f64,
    ops_per_second: f64,
    #[serde(flatten)]
    times: Times,
}

/// How long operations took, in microseconds.
#[derive(Serialize)]
struct Times {
    mean_us: f64,
    min_us: f64,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    max_us: f64,
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let rank = |percent: usize| {
            let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
            times.get(index).copied().map_or(0.0, micros)
        };
        let total: Duration = times.iter().sum();
        Self {
            mean_us: micros(total) / f64::from(u32::try_from(times.len().max(1)).unwrap_or(u32::MAX)),
            min_us: rank(0),
            p50_us: rank(50),
            p90_us: rank(90),
            p99_us: rank(99),
            max_us: rank(100),
        }
    }
}

impl Bench {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let (operation, options) = match self {
            Self::Cycle(options) => ("cycle", options),
            Self::Gid(options) => ("gid", options),
            Self::Guard(options) => ("guard", options),
            Self::Run(command) => return command.run(global),
        };
        if options.jobs > options.count {
            return Err(usage("there are more jobs than operations"));
        }
        let progress = Progress::new("bench", "operations done");
        let spec = global.open_spec(&options.spec).map_err(|error| error.with_operation("bench"))?;
        // As `create`, `delete` and `gid` are.
        let broker = if operation == "cycle" {
            confine_beside_broker(global, &Profile::CYCLING)?
        } else {
            confine(global, &Profile::NOTHING);
            None
        };
        let spec = spec.read().map_err(|error| error.with_operation("bench"))?;
        let dunnage = if operation == "guard" {
            global.dunnage_to_ask(options.jobs)?
        } else {
            global.dunnage_for_many(broker.as_ref(), options.jobs)?
        };
        let request = ReviewRequest::new(Operation::Create, global.id("bench"), spec.clone());
        let run = |job, step| match operation {
            "cycle" => cycle(&dunnage, global, &spec, job, step),
            // Denied or not: it is the answer that takes time.
            "guard" => dunnage.review(&request).and_then(|review| match review.decision() {
                Decision::Failed(_, error) => Err(error.clone()),
                Decision::Allowed | Decision::Denied(..) => Ok(()),
            }),
            _ => dunnage.remapped_gid(&spec).map(drop),
        };
        let (elapsed, times) = measure(options.count, options.jobs, &progress, run)?;
        progress.clear();
        let report = OperationReport::new(operation, &options, elapsed, times);
        Ok(global.output.print(&report, OperationReport::table)?)
    }
}

fn cycle(dunnage: &Dunnage, global: &Global, spec: &Spec, job: u32, step: u32) -> dunnage::Result<()> {
    let id = global.id(&format!("bench-{}-{job}-{step}", std::process::id()));
    dunnage.create(&id, spec)?;
    dunnage.delete(&id, false).map(drop)
}

/// Runs the operations on several threads, and times each.
fn measure(
    count: u32,
    jobs: u32,
    progress: &Progress,
    operation: impl Fn(u32, u32) -> dunnage::Result<()> + Sync,
) -> anyhow::Result<(Duration, Vec<Duration>)> {
    let done = AtomicU64::new(0);
    let counted = |time| {
        progress.show(done.fetch_add(1, Ordering::Relaxed) + 1);
        time
    };
    let start = Instant::now();
    let times = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs)
            .map(|job| {
                let (operation, counted) = (&operation, &counted);
                let share = count / jobs + u32::from(job < count % jobs);
                scope.spawn(move || {
                    (0..share)
                        .map(|step| time(|| operation(job, step)).map(counted))
                        .collect::<dunnage::Result<Vec<_>>>()
                })
            })
            .collect();
        let finished = workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow::anyhow!("a job panicked")));
        finished.collect::<anyhow::Result<Vec<_>>>()
    })?;
    let elapsed = start.elapsed();
    let mut all = Vec::new();
    for times in times {
        all.extend(times?);
    }
    Ok((elapsed, all))
}

fn time(operation: impl FnOnce() -> dunnage::Result<()>) -> dunnage::Result<Duration> {
    let start = Instant::now();
    operation()?;
    Ok(start.elapsed())
}

impl OperationReport {
    fn new(operation: &'static str, options: &Options, elapsed: Duration, times: Vec<Duration>) -> Self {
        Self {
            operation,
            count: options.count,
            jobs: options.jobs,
            seconds: elapsed.as_secs_f64(),
            ops_per_second: f64::from(options.count) / elapsed.as_secs_f64(),
            times: Times::of(times),
        }
    }

    fn table(&self) -> String {
        pairs(&[
            ("operation", self.operation.to_owned()),
            ("count", self.count.to_string()),
            ("jobs", self.jobs.to_string()),
            ("per second", format!("{:.0}", self.ops_per_second)),
            ("mean", format!("{:.1} µs", self.times.mean_us)),
            ("min", format!("{:.1} µs", self.times.min_us)),
            ("p50", format!("{:.1} µs", self.times.p50_us)),
            ("p90", format!("{:.1} µs", self.times.p90_us)),
            ("p99", format!("{:.1} µs", self.times.p99_us)),
            ("max", format!("{:.1} µs", self.times.max_us)),
        ])
    }
}
