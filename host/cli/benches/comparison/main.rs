//! The comparison of the page on performance: `cargo bench -p dunnage-cli --bench comparison`.
//!
//! Prints the whole table and draws the plots again. Dunnage is the binary as it ships, beside the
//! same work in Go (`benches/go`) and beside the system calls alone ([`floor`]). All take turns in
//! rounds; the figures are medians over the rounds. Wants root, since the real specs remap group 0,
//! and a machine that has nothing else to do.

mod contenders;
mod floor;
mod measure;
mod plots;
mod processes;
mod report;
mod rounds;
mod scale;
mod specs;
mod table;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use contenders::{Contender, Kind, Operation, Places};
use floor::Floor;
use rounds::Task;
use specs::Sample;
use table::Line;

/// Cycles of the endurance test.
const MANY: u32 = 1_000_000;

/// Compare Dunnage with the same work in Go, and with the system calls alone
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    helper: Option<Helper>,
    /// Rounds in which all take turns
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Only this part
    #[arg(long)]
    only: Option<Part>,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Decisions,
    Cycles,
    Threads,
    Processes,
    Scale,
    Endurance,
}

/// What this program does in processes of their own.
#[derive(Subcommand)]
#[command(hide = true)]
enum Helper {
    /// Create and delete with the system calls alone
    Floor {
        which: Which,
        #[command(flatten)]
        work: Work,
        #[arg(long)]
        jobs: u32,
    },
    /// Create and delete through the library, and tell how the process has grown
    Endure(Work),
    /// Run a command, and tell how much memory it held
    Peak {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    Bare,
    Safe,
}

#[derive(Args)]
struct Work {
    #[arg(long)]
    state: PathBuf,
    #[arg(long)]
    root: PathBuf,
    #[arg(long)]
    spec: PathBuf,
    #[arg(long)]
    count: u32,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match &arguments.helper {
        None => compare(&arguments),
        Some(Helper::Floor { which, work, jobs }) => run_floor(*which, work, *jobs),
        Some(Helper::Endure(work)) => scale::print_growth(work.count, &work.state, &work.root, &work.spec),
        Some(Helper::Peak { command }) => processes::print_peak(command),
    }
}

fn run_floor(which: Which, work: &Work, jobs: u32) -> anyhow::Result<()> {
    let floor = Floor::open(&work.state, &work.root, &work.spec)?;
    let figures = measure::measure(work.count, jobs, |job, step| {
        let id = format!("bench-{job}-{step}");
        match which {
            Which::Bare => floor.bare(&id),
            Which::Safe => floor.safe(&id),
        }
    })?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// Everything that the parts need.
struct Comparison {
    rounds: usize,
    scratch: PathBuf,
    places: Places,
    contenders: Vec<Contender>,
    specs: [Sample; 4],
}

fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    anyhow::ensure!(rustix::process::geteuid().is_root(), "this takes root: the specs remap group 0");
    // In memory, where there is such a place: a disk would be measured instead.
    let memory = Path::new("/dev/shm");
    let scratch = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
    let comparison = Comparison {
        rounds: arguments.rounds.max(1),
        scratch: scratch.path().to_owned(),
        places: Places::below(scratch.path()),
        contenders: contenders::all(scratch.path())?,
        specs: specs::samples(scratch.path())?,
    };
    let mut lines = Vec::new();
    for part in Part::value_variants() {
        if arguments.only.is_none_or(|only| only == *part) {
            lines.extend(comparison.measure(*part)?);
        }
    }
    let columns: Vec<_> = comparison.contenders.iter().map(Contender::name).collect();
    println!("\n{}", table::show(&columns, &lines));
    Ok(())
}

impl Comparison {
    fn measure(&self, part: Part) -> anyhow::Result<Vec<Line>> {
        match part {
            Part::Decisions => self.decisions(),
            Part::Cycles => self.cycles(),
            Part::Threads => self.threads(),
            Part::Processes => self.processes(),
            Part::Scale => self.scale(),
            Part::Endurance => self.endurance(),
        }
    }

    /// One task for each size of spec, with its number of operations in a round.
    fn by_size(&self, operation: Operation, counts: [u32; 4]) -> Vec<Task<'_>> {
        self.specs.iter().zip(counts).map(|(spec, count)| Task { operation, spec, jobs: 1, count }).collect()
    }

    fn run(&self, tasks: &[Task<'_>]) -> anyhow::Result<Vec<Vec<rounds::Outcome>>> {
        rounds::run(tasks, &self.contenders, self.rounds, &self.places)
    }

    fn decisions(&self) -> anyhow::Result<Vec<Line>> {
        let tasks = self.by_size(Operation::Gid, [20_000, 10_000, 500, 100]);
        let outcomes = self.run(&tasks)?;
        report::plot_sizes("decision.svg", "GID decision, a fresh sandbox each time", &tasks, &outcomes)?;
        Ok(report::decisions(&tasks, &outcomes))
    }

    fn cycles(&self) -> anyhow::Result<Vec<Line>> {
        let tasks = self.by_size(Operation::Cycle, [5_000, 5_000, 500, 200]);
        let outcomes = self.run(&tasks)?;
        report::plot_sizes("cycle.svg", "Create + delete on tmpfs, 1 thread", &tasks, &outcomes)?;
        Ok(report::cycles(&tasks, &outcomes))
    }

    fn threads(&self) -> anyhow::Result<Vec<Line>> {
        let [spec, ..] = &self.specs;
        let tasks = [1, 2, 8, 64].map(|jobs| Task { operation: Operation::Cycle, spec, jobs, count: 6_400 });
        let outcomes = self.run(&tasks)?;
        report::plot_threads(&tasks, &outcomes)?;
        Ok(report::threads(tasks.get(1..).unwrap_or_default(), outcomes.get(1..).unwrap_or_default()))
    }

    fn processes(&self) -> anyhow::Result<Vec<Line>> {
        let [spec, ..] = &self.specs;
        let commands: Vec<_> = self.contenders.iter().filter(|one| one.decides()).cloned().collect();
        let times = processes::one_shot(&commands, spec, self.rounds, &self.scratch)?;
        let ours = commands.iter().find(|one| one.kind == Kind::Dunnage);
        let peak = ours.map_or(Ok(0.0), |ours| processes::peak(&ours.create("peak", spec, &self.places)));
        self.places.clear()?;
        report::plot_processes(&times)?;
        report::processes(&times, peak?)
    }

    fn scale(&self) -> anyhow::Result<Vec<Line>> {
        let [spec, ..] = &self.specs;
        Ok(report::scale(&scale::many(&[10_000, 100_000], spec, &self.scratch)?))
    }

    fn endurance(&self) -> anyhow::Result<Vec<Line>> {
        let [spec, ..] = &self.specs;
        Ok(report::endurance(MANY, &scale::endure(MANY, spec, &self.scratch)?))
    }
}
