//! Timing operations in several threads, as `dunnage bench` does.

use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The figures of one run of a contender: what `dunnage bench` prints, and the others as well.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Figures {
    pub(crate) ops_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Runs an operation `count` times over all jobs, and times each.
pub(crate) fn measure(
    count: u32,
    jobs: u32,
    operation: impl Fn(u32, u32) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<Figures> {
    let start = Instant::now();
    let times = thread::scope(|scope| {
        let work = |job: u32| {
            let share = count / jobs + u32::from(job < count % jobs);
            let operation = &operation;
            move || (0..share).map(|step| time(|| operation(job, step))).collect::<anyhow::Result<Vec<_>>>()
        };
        let workers: Vec<_> = (0..jobs).map(|job| scope.spawn(work(job))).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, anyhow::Result<Vec<_>>>| {
            worker.join().map_err(|_| anyhow::anyhow!("a job panicked"))?
        };
        workers.into_iter().map(join).collect::<anyhow::Result<Vec<_>>>()
    })?;
    let elapsed = start.elapsed();
    let mut micros: Vec<f64> = times.into_iter().flatten().map(|time| time.as_secs_f64() * 1e6).collect();
    Ok(Figures {
        ops_per_second: f64::from(count) / elapsed.as_secs_f64(),
        p50_us: percentile(&mut micros, 50),
        p99_us: percentile(&mut micros, 99),
    })
}

fn time(operation: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    operation()?;
    Ok(start.elapsed())
}

/// A percentile; 0 of nothing.
pub(crate) fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let index = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(index).copied().unwrap_or(0.0)
}
