//! Errors as text or JSON, and as exit codes.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use dunnage::{ErrorKind, Step};
use dunnage_core::printable;

use super::Output;

/// A failure of the command line itself.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {step}: {message}")]
pub(super) struct Failed {
    operation: String,
    kind: &'static str,
    step: &'static str,
    message: String,
    code: u8,
}

impl Failed {
    fn new(kind: &'static str, step: &'static str, message: impl Into<String>, code: u8) -> Self {
        Self { operation: "command line".to_owned(), kind, step, message: message.into(), code }
    }

    /// The output cannot be printed.
    pub(super) fn output(error: &std::io::Error) -> Self {
        Self::new("output", "write-output", format!("cannot write to standard output: {error}"), 1)
    }

    /// The policy in force is not the one that was named.
    pub(super) fn wrong_digest(found: &str, wanted: &str) -> Self {
        let message = format!("wrong digest: the built-in policy has {found}, not {wanted}");
        Self::new(ErrorKind::PolicyRejected.as_str(), "load-policy", message, 7)
    }

    /// The settings file cannot be used.
    pub(super) fn settings(file: &Path, why: &str) -> Self {
        let message = format!("the settings file {}: {why}", file.display());
        Self { operation: "settings".to_owned(), ..Self::new("invalid-config", "configure", message, 2) }
    }

    /// A container cannot be run.
    pub(super) fn task(operation: &str, message: impl Into<String>) -> Self {
        Self { operation: operation.to_owned(), ..Self::new("invalid-config", "configure", message, 1) }
    }

    /// What is needed to confine this process cannot be started.
    pub(super) fn confining(error: &std::io::Error) -> Self {
        let message =
            format!("cannot confine this process: its broker cannot be started: {error}; --no-confine needs no broker");
        Self::new(ErrorKind::Unsupported.as_str(), "confine", message, 1)
    }

    /// The async runtime cannot be set up.
    pub(super) fn waiting(error: std::io::Error) -> Self {
        let message = format!("cannot set up the async runtime: {error}");
        Self::new(ErrorKind::Unsupported.as_str(), Step::StartShim.as_str(), message, 1)
    }

    /// Something that has a kind and a step of the library's.
    pub(super) fn of(operation: &str, kind: ErrorKind, step: Step, message: impl Into<String>) -> Self {
        let message = Self::new(kind.as_str(), step.as_str(), message, code_of(kind));
        Self { operation: operation.to_owned(), ..message }
    }

    /// A container is not running.
    pub(super) fn not_running(operation: &str, message: impl Into<String>) -> Self {
        Self::of(operation, ErrorKind::NotRunning, Step::CallShim, message)
    }

    /// A container does not run, for a reason that has no step of its own.
    pub(super) fn running(operation: &str, error: &anyhow::Error) -> Self {
        let (kind, step) = (ErrorKind::Shim.as_str(), Step::RunTask.as_str());
        Self { operation: operation.to_owned(), ..Self::new(kind, step, format!("{error:#}"), 1) }
    }

    /// Some of several operations failed, and each has been reported.
    pub(super) fn reported(code: u8) -> Self {
        Self::new("reported", "", "", code)
    }

    /// Says what was being done, and how far that went.
    pub(super) fn during(mut self, operation: &str, outcome: &str) -> Self {
        self.operation = operation.to_owned();
        self.message = format!("{}; {outcome}", self.message);
        self
    }
}

/// The command line asks for something invalid.
pub(super) fn usage(message: impl Into<String>) -> anyhow::Error {
    Failed::new("usage", "usage", message, 2).into()
}

/// The exit code of an error.
pub(super) fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(failed) = error.downcast_ref::<Failed>() {
        return failed.code;
    }
    error.downcast_ref::<dunnage::Error>().map_or(1, |error| code_of(error.kind()))
}

fn code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::InvalidIdentifier
        | ErrorKind::InvalidSpec
        | ErrorKind::SpecTooLarge
        | ErrorKind::GroupNotAllowed
        | ErrorKind::InvalidEvent => 3,
        ErrorKind::InvalidConfig => 2,
        ErrorKind::Exists => 4,
        ErrorKind::NotFound | ErrorKind::NoAddress => 5,
        ErrorKind::Mounted | ErrorKind::ShimAlive | ErrorKind::Locked | ErrorKind::NotRunning => 6,
        ErrorKind::PolicyRejected
        | ErrorKind::PolicyTrapped
        | ErrorKind::PolicyLimit
        | ErrorKind::PolicyBroken
        | ErrorKind::GuardRejected
        | ErrorKind::GuardFailed => 7,
        ErrorKind::Denied => 8,
        ErrorKind::BadRecord
        | ErrorKind::Filesystem
        | ErrorKind::Unsupported
        | ErrorKind::Untrusted
        | ErrorKind::Shim
        | ErrorKind::NoTask
        | ErrorKind::NotPaired
        | ErrorKind::Timeout
        | _ => 1,
    }
}

/// Prints an error to standard error, in the form that was asked for.
pub(super) fn report(error: &anyhow::Error, output: Output) -> ExitCode {
    let (kind, step) = if let Some(failed) = error.downcast_ref::<Failed>() {
        (failed.kind, failed.step)
    } else if let Some(error) = error.downcast_ref::<dunnage::Error>() {
        (error.kind().as_str(), error.step().as_str())
    } else {
        ("failed", "")
    };
    if kind != "reported" {
        print(output, kind, step, &format!("{error:#}"));
    }
    ExitCode::from(exit_code(error))
}

/// Prints what clap must say: help is output, everything else is a usage error.
pub(super) fn report_usage(error: &clap::Error) -> ExitCode {
    let text = error.render();
    if !error.use_stderr() {
        return match super::output::write_to_reader(text.to_string().as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failed) => report(&failed.into(), Output::Table),
        };
    }
    let text = text.to_string();
    let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        complain(message);
    } else {
        let names_commands = error.kind() == clap::error::ErrorKind::MissingSubcommand;
        let message = if names_commands { message.to_owned() } else { without_usage(message) };
        print(wanted_output(), "usage", "usage", &format!("command line: usage: {message}"));
    }
    ExitCode::from(2)
}

/// A message without clap's line of usage, which lists what the environment sets as missing.
fn without_usage(message: &str) -> String {
    let Some((message, usage)) = message.split_once("\n\nUsage: ") else { return message.to_owned() };
    let words = usage.split_ascii_whitespace().take_while(|word| !word.starts_with(['-', '<', '[']));
    format!("{message}\n\nFor more, try: {} --help", words.collect::<Vec<_>>().join(" "))
}

/// The output form that was asked for on a command line that cannot be parsed.
pub(super) fn wanted_output() -> Output {
    let arguments: Vec<_> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let pair = arguments
        .windows(2)
        .any(|pair| matches!(pair, [flag, form] if (flag == "-o" || flag == "--output") && form == "json"));
    let single = arguments.iter().any(|argument| matches!(argument.as_str(), "-ojson" | "-o=json" | "--output=json"));
    let variable = std::env::var("DUNNAGE_OUTPUT").is_ok_and(|form| form == "json");
    if pair || single || variable { Output::Json } else { Output::Table }
}

fn print(output: Output, kind: &str, step: &str, message: &str) {
    match output {
        Output::Table => complain(&printable(&format!("dunnage: {message}"))),
        Output::Json => {
            complain(&serde_json::json!({ "error": { "kind": kind, "step": step, "message": message } }).to_string());
        }
    }
}

/// Standard error may be closed or full, and then the message is lost.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
