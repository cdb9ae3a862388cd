//! `bench run`: containers from start to end, beside other programs that do the same.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::Times;
use crate::failure::usage;
use crate::options::Global;
use crate::output::columns;
use crate::progress::Progress;

/// Run and remove a container, as one operation
#[derive(Args)]
#[command(
    after_help = "The commands take turns; each is run COUNT times, as a separate process. {} stands for a unique id.\n\nExample:\n  dunnage bench run --spec true.json --rootfs /srv/busybox --beside 'ctr run --rm --config true-ctr.json {}'"
)]
pub(crate) struct Run {
    /// OCI runtime spec (config.json) of a container that exits by itself with code 0
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
    /// Root file system of the container
    #[arg(long, value_name = "DIR")]
    rootfs: PathBuf,
    /// Number of containers for each command
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Command to compare with, as words without quotes; can be given several times
    #[arg(long, value_name = "COMMAND")]
    beside: Vec<String>,
}

/// Something that is measured.
struct Contestant {
    name: String,
    words: Vec<OsString>,
    times: Vec<Duration>,
}

impl Contestant {
    /// Our own, with either shim.
    fn ours(global: &Global, options: &Run, shim: &str) -> anyhow::Result<Self> {
        let mut words = vec![std::env::current_exe()?.into_os_string()];
        words.extend(["run", "{}", "--rm", "--shim", shim, "--spec"].map(OsString::from));
        words.push(options.spec.clone().into());
        words.extend(["--rootfs".into(), options.rootfs.clone().into()]);
        words.extend(global.arguments()?);
        Ok(Self { name: format!("dunnage run --rm --shim {shim}"), words, times: Vec::new() })
    }

    fn other(command: &str) -> anyhow::Result<Self> {
        let words: Vec<OsString> = command.split_whitespace().map(OsString::from).collect();
        if words.is_empty() {
            return Err(usage("--beside needs a command"));
        }
        Ok(Self { name: command.to_owned(), words, times: Vec::new() })
    }

    /// Runs it once.
    fn run(&mut self, id: &str) -> anyhow::Result<()> {
        let mut words = self.words.iter().map(|word| if word == "{}" { id.into() } else { word.clone() });
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let start = Instant::now();
        let output = command.output().map_err(|error| anyhow::anyhow!("bench: cannot run {:?}: {error}", self.name))?;
        self.times.push(start.elapsed());
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            anyhow::bail!("bench: {:?} failed: {}: {}", self.name, output.status, said.trim());
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct CommandReport {
    operation: &'static str,
    count: u32,
    commands: Vec<Measured>,
}

#[derive(Serialize)]
struct Measured {
    command: String,
    #[serde(flatten)]
    times: Times,
    /// Its median by that of the first.
    ratio: f64,
}

impl Run {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let ours = ["remote", "local"].map(|shim| Contestant::ours(global, &self, shim));
        let others = self.beside.iter().map(|command| Contestant::other(command));
        let mut contestants = ours.into_iter().chain(others).collect::<anyhow::Result<Vec<_>>>()?;
        let progress = Progress::new("bench run", "containers run");
        let mut done = 0;
        for step in 0..self.count {
            for (number, contestant) in contestants.iter_mut().enumerate() {
                contestant.run(&format!("bench-{}-{number}-{step}", std::process::id()))?;
                done += 1;
                progress.show(done);
            }
        }
        progress.clear();
        let mut commands = Vec::new();
        for contestant in contestants {
            let times = Times::of(contestant.times);
            let first = commands.first().map_or(times.p50_us, |first: &Measured| first.times.p50_us);
            commands.push(Measured { command: contestant.name, ratio: times.p50_us / first, times });
        }
        let report = CommandReport { operation: "run", count: self.count, commands };
        Ok(global.output.print(&report, CommandReport::table)?)
    }
}

impl CommandReport {
    fn table(&self) -> String {
        let millis = |micros: f64| format!("{:.1} ms", micros / 1000.0);
        let rows: Vec<_> = self
            .commands
            .iter()
            .map(|Measured { command, times, ratio }| {
                [
                    millis(times.p50_us),
                    millis(times.min_us),
                    millis(times.max_us),
                    format!("{ratio:.2}"),
                    command.clone(),
                ]
            })
            .collect();
        columns(["MEDIAN", "MIN", "MAX", "RATIO", "COMMAND"], &rows)
    }
}
