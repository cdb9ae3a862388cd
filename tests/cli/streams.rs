//! Standard output, and standard error, that is closed, full or without a reader.

use std::process::{Command, Stdio};

use dunnage_tests::{Scratch, run};

use super::{create, spec};

/// Runs the binary by a shell, which can close descriptors.
fn shell(scratch: &Scratch, redirection: &str, arguments: &[&str]) -> dunnage_tests::Outcome {
    let inner = scratch.command(arguments);
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("\"$@\" {redirection}")).arg("sh").arg(inner.get_program()).args(arguments);
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    run(&mut command, [])
}

const READING: [&[&str]; 9] = [
    &["list"],
    &["list", "-A", "-o", "json"],
    &["inspect", "web"],
    &["shim", "address", "web"],
    &["shim", "connect-address", "web", "--allow-legacy"],
    &["policy", "inspect"],
    &["completions", "bash"],
    &["--help"],
    &["--version"],
];

#[test]
fn a_result_that_goes_nowhere_is_a_failure() {
    let scratch = Scratch::new();
    create(&scratch, "web");
    let gid_spec = spec("plain.json");
    let gid = ["gid", "--spec", &gid_spec];
    for arguments in READING.into_iter().chain([&gid[..]]) {
        for (redirection, why) in [(">&-", "closed"), (">/dev/full", "No space left on device")] {
            let outcome = shell(&scratch, redirection, arguments).expect(1);
            let json = arguments.contains(&"json");
            assert!(outcome.stderr.starts_with(if json { "{\"error\":" } else { "dunnage: " }), "{outcome:?}");
            assert!(outcome.stderr.contains("cannot write to standard output"), "{arguments:?} {outcome:?}");
            assert!(outcome.stderr.contains(why), "{arguments:?} {outcome:?}");
        }
    }
}

/// A reader that reads nothing, as in `dunnage list | true`.
#[test]
fn a_reader_that_is_gone_is_no_failure_of_a_command_that_only_prints() {
    let scratch = Scratch::new();
    create(&scratch, "web");
    for arguments in READING {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = scratch.command(arguments).stdout(writer).stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

/// A command that is known to have no reader is not even begun.
#[test]
fn nothing_is_changed_when_standard_output_is_closed() {
    let scratch = Scratch::new();
    create(&scratch, "web");
    let before = scratch.tree();
    for arguments in [&["create", "new", "--spec", &spec("plain.json")][..], &["delete", "web"]] {
        let outcome = shell(&scratch, ">&-", arguments).expect(1);
        assert!(outcome.stderr.contains("cannot write to standard output"), "{outcome:?}");
        assert_eq!(scratch.tree(), before, "{arguments:?}");
    }
}

/// A full disk shows only when the work is done: what can be taken back is, and the error says so.
#[test]
fn what_nobody_was_told_of_is_taken_back_where_it_can_be() {
    let scratch = Scratch::new();
    let outcome = shell(&scratch, ">/dev/full", &["create", "web", "--spec", &spec("plain.json")]).expect(1);
    assert!(outcome.stderr.contains("the bundle was removed again"), "{outcome:?}");
    assert!(!scratch.bundle("web").exists() && !scratch.work_dir("web").exists());
    scratch.run(["create", "web", "--spec", &spec("plain.json")]).expect(0);
    let outcome = shell(&scratch, ">/dev/full", &["delete", "web"]).expect(1);
    assert!(outcome.stderr.contains("cannot write to standard output"), "{outcome:?}");
    assert!(!scratch.bundle("web").exists());
    let left = scratch.tree();
    assert!(!left.iter().any(|line| line.contains("web")), "{left:?}");
}

/// Where no message can be written, the exit code still reports the failure.
#[test]
fn standard_error_may_be_closed_or_full() {
    let scratch = Scratch::new();
    for redirection in ["2>&-", "2>/dev/full"] {
        shell(&scratch, redirection, &["inspect", "gone"]).expect(5);
        shell(&scratch, redirection, &["frobnicate"]).expect(2);
    }
    shell(&scratch, ">&- 2>&-", &["inspect", "gone"]).expect(1);
    create(&scratch, "web");
    shell(&scratch, "2>&-", &["-vvv", "list"]).expect(0);
}

#[test]
fn standard_input_may_be_closed() {
    let scratch = Scratch::new();
    let outcome = shell(&scratch, "<&-", &["gid", "--spec", "-"]);
    assert!(matches!(outcome.code, Some(1 | 3)), "{outcome:?}");
    assert!(outcome.stderr.starts_with("dunnage: "), "{outcome:?}");
    shell(&scratch, "<&-", &["create", "web", "--spec", &spec("plain.json")]).expect(0);
}

/// Logs go to standard error, results to standard output.
#[test]
fn logs_never_mix_with_results() {
    let scratch = Scratch::new();
    create(&scratch, "web");
    for verbosity in ["-v", "-vv", "-vvv"] {
        let outcome = scratch.run([verbosity, "list", "-o", "json"]).expect(0);
        assert_eq!(outcome.json()[0]["id"], "web");
    }
    std::fs::write(scratch.bundle("web").join("shim.pid"), "nonsense").unwrap();
    let outcome = scratch.run(["delete", "web", "-o", "json"]).expect(0);
    assert!(outcome.stderr.contains("shim.pid cannot be used"), "{outcome:?}");
    // Colours are for terminals.
    assert!(!outcome.stderr.contains('\u{1b}'), "{outcome:?}");
}
