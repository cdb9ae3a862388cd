//! Options: their places, their environment variables, help and completions.

use std::fs;

use dunnage_tests::binary::{self, Build};
use dunnage_tests::{Scratch, hostile, run};

use super::{create, spec};

#[test]
fn options_stand_before_and_after_the_command() {
    let scratch = Scratch::new();
    let (state, root) = (scratch.path().join("s"), scratch.path().join("r"));
    let (state, root) = (state.to_str().unwrap(), root.to_str().unwrap());
    let spec = spec("plain.json");
    let lines: [&[&str]; 3] = [
        &["--state", state, "--root", root, "-n", "moby", "-o", "json", "create", "a", "--spec", &spec],
        &["create", "b", "--spec", &spec, "--state", state, "--root", root, "-n", "moby", "-o", "json"],
        &["--state", state, "create", "--root", root, "--namespace=moby", "--spec", &spec, "--output", "json", "c"],
    ];
    for line in lines {
        let outcome = run(&mut binary::command(Build::Default, line), []).expect(0);
        assert_eq!(outcome.json()["namespace"], "moby");
    }
    for id in ["a", "b", "c"] {
        assert!(scratch.path().join("s/moby").join(id).join("config.json").is_file());
        assert!(scratch.path().join("r/moby").join(id).is_dir());
    }
}

#[test]
fn every_global_option_has_an_environment_variable() {
    let scratch = Scratch::new();
    create(&scratch, "web");
    let with = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = scratch.command(arguments);
        command.envs(variables.iter().copied());
        run(&mut command, [])
    };
    let json = ("DUNNAGE_OUTPUT", "json");
    // `DUNNAGE_STATE`, `DUNNAGE_ROOT` and `DUNNAGE_SOCKET_ROOT` are what all these tests work with.
    assert_eq!(with(&[json], &["list"]).expect(0).json()[0]["id"], "web");
    assert_eq!(with(&[json, ("DUNNAGE_NAMESPACE", "moby")], &["list"]).expect(0).json(), serde_json::json!([]));
    let [one, other] = ["/one", "/other"]
        .map(|daemon| with(&[("DUNNAGE_ADDRESS", daemon)], &["shim", "address", "web"]).expect(0).stdout);
    assert_ne!(one, other);
    let refused = with(&[("DUNNAGE_GID_RANGE", "1-2")], &["gid", "--spec", &spec("userns.json")]).expect(3);
    assert!(refused.stderr.contains("1-2"), "{refused:?}");
    let spec = spec("plain.json");
    for (variable, id) in [("DUNNAGE_DURABLE", "a"), ("DUNNAGE_NO_CONFINE", "b")] {
        for (value, suffix) in [("1", "1"), ("true", "t"), ("0", "0"), ("false", "f"), ("", "e")] {
            with(&[(variable, value)], &["create", &format!("z{id}{suffix}"), "--spec", &spec]).expect(0);
        }
    }
    let report = with(&[("DUNNAGE_NO_CONFINE", "1")], &["policy", "inspect"]).expect(0).stdout;
    assert!(report.contains("not confined, as requested"), "{report}");
    let logged = with(&[("DUNNAGE_VERBOSE", "2")], &["list"]).expect(0);
    assert!(logged.stdout.contains("web"), "{logged:?}");
    // The command line wins.
    assert_eq!(
        with(&[json, ("DUNNAGE_NAMESPACE", "moby")], &["list", "-n", "default"]).expect(0).json()[0]["id"],
        "web"
    );
    assert!(with(&[json], &["list", "-o", "table"]).expect(0).stdout.starts_with("NAMESPACE"));
    let policy = [("DUNNAGE_POLICY", hostile::POLICY), ("DUNNAGE_POLICY_DIGEST", &hostile::digest())];
    assert!(with(&policy, &["list"]).expect(7).stderr.contains("policy-file"));
}

#[test]
fn group_ranges_are_checked_before_anything_is_made() {
    let scratch = Scratch::new();
    let gid =
        |range: &str, code| scratch.run(["gid", "--spec", &spec("userns.json"), "--gid-range", range]).expect(code);
    for range in ["100000-165535", "100000", "1-2,100000-100000", "0-4294967295"] {
        assert_eq!(gid(range, 0).stdout, "100000\n");
    }
    for range in ["1-99999", "100001-165535"] {
        let refused = gid(range, 3);
        assert!(refused.stderr.contains("100000") && refused.stderr.contains(range), "{refused:?}");
    }
    for nonsense in ["", "x", "2-1", "1-", "-1", "1-4294967296"] {
        scratch.run(["gid", "--spec", &spec("userns.json"), &format!("--gid-range={nonsense}")]).expect(2);
    }
    scratch.run(["create", "web", "--spec", &spec("userns.json"), "--gid-range", "1-2"]).expect(3);
    assert_eq!(scratch.tree(), [""; 0]);
    // A spec that is not remapped needs no range.
    scratch.run(["create", "web", "--spec", &spec("plain.json"), "--gid-range", "1-2"]).expect(0);
}

const COMMANDS: [&[&str]; 15] = [
    &[],
    &["create"],
    &["delete"],
    &["list"],
    &["inspect"],
    &["gid"],
    &["shim", "address"],
    &["shim", "connect-address"],
    &["shim", "config"],
    &["policy", "inspect"],
    &["policy", "verify"],
    &["bench", "cycle"],
    &["bench", "gid"],
    &["completions"],
    &["help", "create"],
];

#[test]
fn the_help_of_every_command_has_an_example() {
    let scratch = Scratch::new();
    for command in COMMANDS {
        for flag in [&["--help"][..], &["-h"]] {
            let flag = if command.first() == Some(&"help") { &[] } else { flag };
            let outcome = scratch.run([command, flag].concat()).expect(0);
            let example = outcome.stdout.lines().skip_while(|line| *line != "Example:").nth(1);
            let name = if command.first() == Some(&"help") { "create".to_owned() } else { command.join(" ") };
            assert!(
                example.is_some_and(|line| line.contains(&format!("dunnage {name}").trim_end().to_owned())
                    || line.contains(&format!(" {name} "))),
                "{command:?}: {}",
                outcome.stdout
            );
            assert_eq!(outcome.stderr, "");
        }
    }
    let version = scratch.run(["--version"]).expect(0).stdout;
    assert!(version.starts_with("dunnage ") && version.contains(env!("CARGO_PKG_VERSION")), "{version}");
}

/// The help says which commands there are and what the exit codes mean.
#[test]
fn the_help_lists_commands_and_exit_codes() {
    let help = Scratch::new().run(["--help"]).expect(0).stdout;
    for word in ["create", "delete", "list", "inspect", "gid", "shim", "policy", "bench", "completions"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(word)), "{word}: {help}");
    }
    assert!(help.contains("Exit codes"), "{help}");
    for variable in ["STATE", "ROOT", "NAMESPACE", "ADDRESS", "SOCKET_ROOT", "OUTPUT", "POLICY", "GID_RANGE"] {
        assert!(help.contains(&format!("DUNNAGE_{variable}")), "{variable}: {help}");
    }
}

#[test]
fn completions_name_commands_and_options() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = scratch.run(["completions", shell]).expect(0).stdout;
        for word in ["connect-address", "gid-range", "dunnage"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        // The shell itself is the judge, where there is one.
        let file = scratch.path().join(shell);
        fs::write(&file, &script).unwrap();
        match std::process::Command::new(shell).arg("-n").arg(&file).status() {
            Ok(status) => assert!(status.success(), "{shell} cannot read its completions"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
        }
    }
    scratch.run(["completions", "tcsh"]).expect(2);
}
