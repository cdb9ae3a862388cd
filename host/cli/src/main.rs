//! `dunnage`: the bundle manager on the command line. Parse, call the library, print; `--help` is the
//! reference.

mod bench;
mod bundles;
mod confine;
mod decisions;
mod doctor;
mod events;
mod failure;
mod foreground;
mod guard;
mod lines;
mod log;
mod options;
mod output;
mod parse;
mod policy;
mod progress;
mod reach;
mod recover;
mod run;
mod serve;
mod settings;
mod shim;
mod start;
mod tasks;
mod times;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use dunnage::shim::{MONITOR, SHIM};

use self::failure::Failed;
use self::options::Global;
use self::output::Output;

/// Creates, finds and deletes the bundles of containers. A sandboxed policy makes every decision
/// about untrusted input.
#[derive(Parser)]
#[command(name = "dunnage", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done; 1 failed; 2 usage; 3 bad id, namespace or spec; 4 already exists;\n\
    5 no such bundle; 6 busy (mounted, live shim); 7 policy or guard failed; 8 denied by a guard.\n\n\
    Example:\n  dunnage create web-1 --spec config.json\n  dunnage inspect web-1\n  dunnage delete web-1")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(bundles::Create),
    Delete(bundles::Delete),
    List(bundles::List),
    Inspect(bundles::Inspect),
    Gid(bundles::Gid),
    Run(run::Run),
    Start(start::Start),
    Exec(tasks::Exec),
    Attach(tasks::Attach),
    Logs(tasks::Logs),
    Ps(tasks::Ps),
    Kill(tasks::Kill),
    Stop(tasks::Stop),
    Wait(tasks::Wait),
    Pause(tasks::Pause),
    Resume(tasks::Resume),
    Update(tasks::Update),
    Resize(tasks::Resize),
    #[command(hide = true)]
    Remover(run::Remove),
    #[command(subcommand)]
    Shim(shim::ShimCommand),
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    #[command(subcommand)]
    Guard(guard::GuardCommand),
    Decisions(decisions::Decisions),
    #[command(subcommand)]
    Config(guard::ConfigCommand),
    Events(events::Events),
    Publish(events::Publish),
    Recover(recover::Recover),
    Doctor(doctor::Doctor),
    #[command(subcommand)]
    Bench(bench::Bench),
    Completions(Completions),
}

/// Print a completion script for a shell
#[derive(clap::Args)]
#[command(after_help = "Example:\n  dunnage completions bash > /etc/bash_completion.d/dunnage")]
struct Completions {
    shell: clap_complete::Shell,
}

/// Runs the command line of this process; the exit code says how it went.
fn main() -> ExitCode {
    dunnage_sys::survive_file_size_limit();
    if called_as(MONITOR) {
        // Nothing reads its output.
        return dunnage::shim::monitor().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    if called_as(SHIM) {
        return serve::main();
    }
    let arguments: Vec<_> = std::env::args_os().collect();
    let settings = match settings::Settings::load(&arguments) {
        Ok(settings) => settings,
        Err(error) => return failure::report(&error, failure::wanted_output()),
    };
    let cli = match parse::parse(&arguments, settings) {
        Ok(cli) => cli,
        Err(error) => return failure::report_usage(&error),
    };
    let output = cli.global.output;
    log::start(cli.global.verbose);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error, output),
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    // A command that prints nothing does not need standard output.
    if !matches!(cli.command, Command::Publish(_)) {
        output::check_open()?;
    }
    let global = &cli.global;
    match cli.command {
        Command::Create(command) => command.run(global),
        Command::Delete(command) => command.run(global),
        Command::List(command) => command.run(global),
        Command::Inspect(command) => command.run(global),
        Command::Gid(command) => command.run(global),
        Command::Run(command) => command.run(global),
        Command::Start(command) => command.run(global),
        Command::Exec(command) => command.run(global),
        Command::Attach(command) => command.run(global),
        Command::Logs(command) => command.run(global),
        Command::Ps(command) => command.run(global),
        Command::Kill(command) => command.run(global),
        Command::Stop(command) => command.run(global),
        Command::Wait(command) => command.run(global),
        Command::Pause(command) => command.run(global),
        Command::Resume(command) => command.run(global),
        Command::Update(command) => command.run(global),
        Command::Resize(command) => command.run(global),
        Command::Remover(command) => command.run(global),
        Command::Shim(command) => command.run(global),
        Command::Policy(command) => command.run(global),
        Command::Guard(command) => command.run(global),
        Command::Decisions(command) => command.run(global),
        Command::Config(command) => command.run(global),
        Command::Events(command) => command.run(global),
        Command::Publish(command) => command.run(global),
        Command::Recover(command) => command.run(global),
        Command::Doctor(command) => command.run(global),
        Command::Bench(command) => command.run(global),
        Command::Completions(command) => {
            let mut script = Vec::new();
            clap_complete::generate(command.shell, &mut Cli::command(), "dunnage", &mut script);
            output::write_to_reader(&script)?;
            Ok(())
        }
    }
}

/// Whether this program was called by another name, wherever it lies.
fn called_as(name: &str) -> bool {
    std::env::args_os().next().is_some_and(|called| Path::new(&called).file_name() == Some(OsStr::new(name)))
}
