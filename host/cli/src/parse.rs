//! From arguments to a command, without building what was not asked for.
//!
//! clap's own deferred subcommands still copy all global options into each of them, which is what takes
//! the time.

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::{ArgMatches, Args as _, Command, CommandFactory as _, FromArgMatches as _, Subcommand as _};

use super::options::Global;
use super::settings::Settings;
use super::{Cli, bench, bundles, decisions, doctor, events, guard, policy, recover, run, shim, start, tasks};

/// The commands that have commands of their own.
const GROUPS: [&str; 5] = ["shim", "policy", "guard", "config", "bench"];

/// Adds the arguments of a command.
type Augment = fn(Command) -> Command;

/// The commands; `completions` is not worth a shortcut.
const COMMANDS: [(&str, Augment); 29] = [
    ("create", bundles::Create::augment_args),
    ("delete", bundles::Delete::augment_args),
    ("list", bundles::List::augment_args),
    ("inspect", bundles::Inspect::augment_args),
    ("gid", bundles::Gid::augment_args),
    ("run", run::Run::augment_args),
    ("start", start::Start::augment_args),
    ("exec", tasks::Exec::augment_args),
    ("attach", tasks::Attach::augment_args),
    ("logs", tasks::Logs::augment_args),
    ("ps", tasks::Ps::augment_args),
    ("kill", tasks::Kill::augment_args),
    ("stop", tasks::Stop::augment_args),
    ("wait", tasks::Wait::augment_args),
    ("pause", tasks::Pause::augment_args),
    ("resume", tasks::Resume::augment_args),
    ("update", tasks::Update::augment_args),
    ("resize", tasks::Resize::augment_args),
    ("remover", run::Remove::augment_args),
    ("shim", shim::ShimCommand::augment_subcommands),
    ("policy", policy::PolicyCommand::augment_subcommands),
    ("guard", guard::GuardCommand::augment_subcommands),
    ("decisions", decisions::Decisions::augment_args),
    ("config", guard::ConfigCommand::augment_subcommands),
    ("events", events::Events::augment_args),
    ("publish", events::Publish::augment_args),
    ("recover", recover::Recover::augment_args),
    ("doctor", doctor::Doctor::augment_args),
    ("bench", bench::Bench::augment_subcommands),
];

/// Parses a command line.
pub(super) fn parse(arguments: &[OsString], settings: Settings) -> Result<Cli, clap::Error> {
    let parsed = parse_one(arguments, &settings).map_or_else(
        || {
            let mut command = settings.apply(without_empty_variables(Cli::command()));
            let mut matches = command.try_get_matches_from_mut(arguments)?;
            Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
        },
        Ok,
    );
    parsed.map(|mut cli| {
        cli.global.settings = settings;
        cli
    })
}

/// A variable that is empty is as good as not set, as in most shell scripts.
fn without_empty_variables(command: Command) -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    if !std::env::vars_os().any(|(name, value)| value.is_empty() && name.as_encoded_bytes().starts_with(b"DUNNAGE_")) {
        return command;
    }
    command.mut_args(|argument| match argument.get_env() {
        Some(name) if is_empty(name) => argument.env(Resettable::Reset),
        _ => argument,
    })
}

/// Parses what calls one command, as if there were no others: all of them, each with the global
/// options, take longer to set up than a bundle takes to create. A valid command line means the
/// same to both parsers; an invalid one, or one that asks for help, is `None` and left to the full
/// parser.
fn parse_one(arguments: &[OsString], settings: &Settings) -> Option<Cli> {
    Cli::from_arg_matches_mut(&mut match_one(arguments, settings)?).ok()
}

fn match_one(arguments: &[OsString], settings: &Settings) -> Option<ArgMatches> {
    let mut called = arguments.iter().skip(1).filter_map(|argument| COMMANDS.iter().find(|(name, _)| argument == name));
    let (name, augment) = called.next()?;
    // The value of an option may be the name of a command too: then the full parser decides. The commands of
    // a group may have the names of others.
    if !GROUPS.contains(name) && called.any(|(other, _)| other != name) {
        return None;
    }
    let one = augment(Command::new(*name));
    let all = settings.apply(without_empty_variables(Global::augment_args(Command::new("dunnage"))));
    all.subcommand(one).try_get_matches_from(arguments).ok()
}

/// Reads a size: bytes, or with `K`, `M` or `G` for powers of 1024.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size such as 16M, or a number of bytes");
    let digits = text.trim_end_matches(['K', 'M', 'G', 'k', 'm', 'g']);
    let shift = match text.get(digits.len()..).unwrap_or_default().to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_shl(shift).filter(|size| size >> shift == number && *size > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn sizes_are_bytes_or_powers() {
        for (text, bytes) in [("1", 1), ("16M", 16 << 20), ("64k", 64 << 10), ("2G", 2 << 30)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "M", "1T", "-1", "1.5M", "1MM", "99999999999G"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_command_is_known_by_its_name() {
        let all = Cli::command();
        let names: Vec<_> = all.get_subcommands().map(Command::get_name).collect();
        let known: Vec<_> = COMMANDS.iter().map(|(name, _)| *name).chain(["completions"]).collect();
        assert_eq!(known, names);
    }

    #[test]
    fn one_command_is_parsed_as_among_all() {
        let cases = [
            "create web-1 --spec config.json",
            "--state s create web-1 --spec - --root r -vv -ojson",
            "-n default --no-confine delete web-1 web-2 --force --gid-range 1-5,7",
            "list -A --status --state list-of-bundles",
            "inspect -- --help",
            "gid --spec=x --policy p --policy-digest sha256:0",
            "run web-1 --spec s --rootfs r --rm --shim local --timeout 20 --durable",
            "--state s remover -- web-1",
            "shim --address= config web-1 --systemd-cgroup --runtime-root r",
            "shim stop web-1 --kill -n other",
            "start web-1 --rootfs r --shim local -i",
            "exec -it web-1 -e A=1 --user 1:2 -- sh -c x",
            "logs web-1 -f --tail 3",
            "kill web-1 HUP --all",
            "wait web-1",
            "resize web-1 80x24",
            "doctor -o json",
            "policy verify file",
            "events -fA",
            "publish --topic /tasks/exit --address a --namespace n",
            "recover --dry-run --timeout 3",
            "bench --state s cycle --spec s --count 5 --jobs 2",
        ];
        for case in cases {
            let arguments: Vec<_> = ["dunnage"].into_iter().chain(case.split(' ')).map(OsString::from).collect();
            let one = match_one(&arguments, &Settings::default()).unwrap_or_else(|| panic!("{case}: not parsed"));
            let among_all = Cli::command().try_get_matches_from(&arguments).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(format!("{one:#?}"), format!("{among_all:#?}"), "{case}");
            assert!(parse_one(&arguments, &Settings::default()).is_some(), "{case}");
        }
    }

    #[test]
    fn what_is_wrong_or_asks_for_help_is_left_to_the_whole() {
        let cases = [
            "",
            "--help",
            "-V",
            "help create",
            "create",
            "create --help",
            "create a b --spec s",
            "create a -V",
            "shim",
            "shim list",
            "list create",
            "recover --timeout 0",
            "-n create list",
            "made-up",
        ];
        for case in cases {
            let arguments: Vec<_> = ["dunnage"].into_iter().chain(case.split(' ')).map(OsString::from).collect();
            assert!(parse_one(&arguments, &Settings::default()).is_none(), "{case}");
        }
    }
}
