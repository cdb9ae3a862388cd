//! Whole processes: one-shot commands from their start to their exit, and what they take.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;

use crate::contenders::{Contender, Places, command, dunnage, output};
use crate::measure::percentile;
use crate::specs::Sample;

/// Processes of each contender in a round.
const RUNS: usize = 25;

/// The times of one contender's processes, in milliseconds, sorted.
pub(crate) struct Times {
    pub(crate) contender: Contender,
    pub(crate) millis: Vec<f64>,
}

impl Times {
    pub(crate) fn median(&self) -> f64 {
        percentile(&mut self.millis.clone(), 50)
    }
}

/// What a command takes: the fastest of a few runs, and the most memory of any.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) millis: f64,
    pub(crate) megabytes: f64,
}

/// Creates bundles, each by a process of its own, in turn.
pub(crate) fn one_shot(
    contenders: &[Contender],
    spec: &Sample,
    rounds: usize,
    scratch: &Path,
) -> anyhow::Result<Vec<Times>> {
    let mut all: Vec<Times> =
        contenders.iter().map(|contender| Times { contender: contender.clone(), millis: Vec::new() }).collect();
    for round in 0..rounds {
        let places: Vec<_> =
            (0..contenders.len()).map(|number| Places::below(&scratch.join(format!("process-{number}")))).collect();
        for run in 0..RUNS {
            for ((contender, times), places) in contenders.iter().zip(&mut all).zip(&places) {
                let mut command = contender.create(&format!("one-{round}-{run}"), spec, places);
                times.millis.push(time(&mut command)?);
            }
        }
        places.iter().try_for_each(Places::clear)?;
    }
    all.iter_mut().for_each(|times| times.millis.sort_unstable_by(f64::total_cmp));
    Ok(all)
}

fn time(command: &mut Command) -> anyhow::Result<f64> {
    command.stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    let elapsed = start.elapsed();
    anyhow::ensure!(status.success(), "{command:?} failed: {status}");
    Ok(elapsed.as_secs_f64() * 1e3)
}

/// What a command of the binary takes.
pub(crate) fn cost(words: &[&str], places: &Places, runs: usize) -> anyhow::Result<Cost> {
    let ours = || {
        let mut command = command(&dunnage(), words);
        command.arg("--state").arg(&places.state).arg("--root").arg(&places.root);
        command
    };
    let mut cost = Cost { millis: f64::INFINITY, megabytes: 0.0 };
    for _ in 0..runs {
        cost.millis = cost.millis.min(time(&mut ours())?);
        cost.megabytes = cost.megabytes.max(peak(&ours())?);
    }
    Ok(cost)
}

/// The most memory that a command holds at any time, in megabytes.
///
/// The kernel counts what the process was before it became the command, a copy of its parent. So a
/// small process starts it: this program once more, which has done nothing yet.
pub(crate) fn peak(measured: &Command) -> anyhow::Result<f64> {
    let mut helper = command(&std::env::current_exe()?, &["peak"]);
    helper.arg(measured.get_program()).args(measured.get_args());
    let kilobytes: f64 = String::from_utf8(output(&mut helper)?)?.trim().parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}

/// Runs a command and prints the most memory it held, in units of 1024 bytes.
pub(crate) fn print_peak(words: &[OsString]) -> anyhow::Result<()> {
    let (program, arguments) = words.split_first().context("no command")?;
    let child = Command::new(program).args(arguments).stdout(Stdio::null()).spawn()?;
    let pid = i32::try_from(child.id())?;
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are of variables that outlive the call, and all zeroes is an `rusage`.
    #[expect(unsafe_code, reason = "neither `std` nor rustix tells the memory of a child")]
    let (waited, usage) = unsafe { (libc::wait4(pid, &mut status, 0, usage.as_mut_ptr()), usage.assume_init()) };
    anyhow::ensure!(waited == pid && status == 0, "{program:?} failed");
    println!("{}", usage.ru_maxrss);
    Ok(())
}
