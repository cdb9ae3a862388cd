//! The examples run, and say what they did.

#![expect(clippy::expect_used, clippy::panic, reason = "a test")]

use std::path::PathBuf;
use std::process::Command;

/// What an example prints that is given a new directory and a spec.
fn run(example: &str) -> String {
    let test = std::env::current_exe().expect("the path of this test");
    let built = test.ancestors().nth(2).expect("the profile's directory").join("examples").join(example);
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let spec = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/plain.json");
    let output = Command::new(&built).arg(scratch.path().join("example")).arg(spec).output();
    let output = output.unwrap_or_else(|error| panic!("{}, which cargo test builds: {error}", built.display()));
    assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn a_daemon_creates_and_deletes() {
    let printed = run("daemon");
    assert_eq!(printed.matches("created ").count(), 3, "{printed}");
    assert_eq!(printed.matches("deleted example/web-").count(), 3, "{printed}");
    assert!(printed.contains("\n3 bundles\n"), "{printed}");
}

#[test]
#[cfg(feature = "shim")]
fn a_shim_may_live_anywhere() {
    let printed = run("shim_option");
    assert!(printed.contains("namespace: \"example\"") && printed.ends_with("deleted: true\n"), "{printed}");
}

#[test]
#[cfg(feature = "policy-file")]
fn a_policy_may_have_rules_of_its_own() {
    let printed = run("own_policy");
    assert!(printed.contains("created ") && printed.contains("/example.blue-web-1\n"), "{printed}");
}
