//! Errors: exit codes, and their form on standard error.

use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Child, Command};

use dunnage_tests::binary::{Build, Outcome};
use dunnage_tests::{Scratch, hostile, run};

use super::{create, keys, sorted, spec};

/// The error of a run with `-o json`: its kind, its step and its message.
fn error(outcome: &Outcome) -> (String, String, String) {
    assert_eq!(outcome.stdout, "", "{outcome:?}");
    let json: serde_json::Value = serde_json::from_str(&outcome.stderr).unwrap_or_else(|error| {
        panic!("{error}: {outcome:?}");
    });
    assert_eq!(keys(&json), ["error"], "{outcome:?}");
    assert_eq!(keys(&json["error"]), sorted(["kind", "step", "message"]), "{outcome:?}");
    let text = |name: &str| json["error"][name].as_str().expect("text").to_owned();
    (text("kind"), text("step"), text("message"))
}

/// Runs a command that must fail in both forms, and compares them.
fn fail(scratch: &Scratch, arguments: &[&str], code: i32, kind: &str) -> Outcome {
    let json = scratch.run([arguments, &["-o", "json"]].concat()).expect(code);
    let (found, step, message) = error(&json);
    assert_eq!(found, kind, "{json:?}");
    assert!(!step.is_empty() && message.contains(&step), "the message names the step: {json:?}");
    let text = scratch.run(arguments).expect(code);
    assert_eq!(text.stdout, "", "{text:?}");
    assert_eq!(text.stderr, format!("dunnage: {message}\n"));
    text
}

#[test]
fn every_exit_code_has_its_reason() {
    let scratch = Scratch::new();
    let plain = spec("plain.json");
    create(&scratch, "web").expect(0);

    let missing = fail(&scratch, &["create", "new", "--spec", "/nonexistent/spec.json"], 1, "filesystem");
    assert!(missing.stderr.contains("/nonexistent/spec.json"), "{missing:?}");
    fail(&scratch, &["gid", "--spec", "/"], 1, "filesystem");

    let invalid = fail(&scratch, &["create", "-n", "moby", "a..b", "--spec", &plain], 3, "invalid-identifier");
    assert!(invalid.stderr.contains("create moby/a..b: check-identifiers: "), "{invalid:?}");
    fail(&scratch, &["list", "-n", ".."], 3, "invalid-identifier");

    let exists = fail(&scratch, &["create", "web", "--spec", &plain], 4, "exists");
    assert!(exists.stderr.starts_with("dunnage: create default/web: publish: "), "{exists:?}");

    fail(&scratch, &["inspect", "gone"], 5, "not-found");
    fail(&scratch, &["shim", "connect-address", "gone"], 5, "not-found");
    fail(&scratch, &["shim", "connect-address", "web"], 5, "no-address");
}

#[test]
fn a_bad_spec_has_exit_code_3_and_nothing_is_made() {
    let scratch = Scratch::new();
    for text in ["", "{", r#"{"linux":7}"#] {
        for command in [&["create", "web", "--spec", "-"][..], &["gid", "--spec", "-"]] {
            let outcome = run(&mut scratch.command([command, &["-o", "json"]].concat()), text).expect(3);
            assert_eq!(error(&outcome).0, "invalid-spec");
        }
    }
    assert_eq!(scratch.tree(), [""; 0]);
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_live_shim_has_exit_code_6() {
    let scratch = Scratch::new();
    create(&scratch, "web");
    let shim = Killed(Command::new("sleep").arg("1000").current_dir(scratch.bundle("web")).spawn().unwrap());
    fs::write(scratch.bundle("web").join("shim.pid"), shim.0.id().to_string()).unwrap();
    let refused = scratch.run(["delete", "web"]).expect(6);
    assert!(refused.stderr.starts_with("dunnage: delete default/web: end-shim: "), "{refused:?}");
    assert!(refused.stderr.contains("force"), "{refused:?}");
    let refused = scratch.run(["delete", "web", "-o", "json"]).expect(6);
    assert_eq!(refused.json(), serde_json::json!({ "deleted": [] }));
    assert!(refused.stderr.starts_with("{\"error\":{\"kind\":\"shim-alive\""), "{refused:?}");
}

#[test]
fn a_usage_error_has_exit_code_2() {
    let scratch = Scratch::new();
    let plain = spec("plain.json");
    let lines: [&[&str]; 12] = [
        &["frobnicate"],
        &["create"],
        &["create", "web"],
        &["create", "web", "--spec"],
        &["create", "web", "extra", "--spec", &plain],
        &["delete"],
        &["list", "--frobnicate"],
        &["list", "--gid-range", "x"],
        &["bench", "gid", "--spec", &plain, "--count", "0"],
        &["bench", "gid", "--spec", &plain, "--count", "1", "--jobs", "2"],
        &["gid", "--spec", &plain, "--policy", hostile::POLICY],
        &["shim"],
    ];
    for line in lines {
        let outcome = scratch.run(line).expect(2);
        assert_eq!(outcome.stdout, "", "{line:?}");
        assert!(!outcome.stderr.is_empty(), "{line:?}");
        if line != ["shim"] {
            assert!(outcome.stderr.starts_with("dunnage: command line: usage: "), "{outcome:?}");
            let json = scratch.run([line, &["-o", "json"]].concat()).expect(2);
            assert_eq!(error(&json).0, "usage", "{line:?}");
        }
    }
    assert!(scratch.run([""; 0]).expect(2).stderr.contains("Usage: dunnage"));
    scratch.run(["list", "-o", "yaml"]).expect(2);
    assert_eq!(scratch.tree(), [""; 0]);
}

/// Arguments need not be text.
#[test]
fn arguments_that_are_no_text_are_usage_errors() {
    let scratch = Scratch::new();
    let broken = std::ffi::OsString::from_vec(b"a\xffb".to_vec());
    let mut command = scratch.command(["inspect"]);
    let outcome = run(command.arg(&broken), []).expect(2);
    assert!(outcome.stderr.starts_with("dunnage: command line: usage: "), "{outcome:?}");
    let mut command = scratch.command(["list"]);
    let outcome = run(command.env("DUNNAGE_NAMESPACE", &broken), []).expect(2);
    assert!(outcome.stderr.starts_with("dunnage: command line: usage: "), "{outcome:?}");
    let mut command = scratch.command(["list"]);
    let outcome = run(command.env("DUNNAGE_STATE", scratch.path().join(&broken)), []).expect(2);
    assert!(outcome.stderr.contains("UTF-8"), "{outcome:?}");
}

#[test]
fn the_default_build_names_the_feature_that_it_lacks() {
    let scratch = Scratch::new();
    let digest = hostile::digest();
    let lines: [&[&str]; 4] = [
        &["--policy", hostile::POLICY, "--policy-digest", &digest, "list"],
        &["create", "web", "--spec", &spec("plain.json"), "--policy", hostile::POLICY, "--policy-digest", &digest],
        &["policy", "verify", hostile::POLICY, "--policy-digest", &digest],
        &["policy", "inspect", hostile::POLICY],
    ];
    for line in lines {
        let outcome = scratch.run([line, &["-o", "json"]].concat()).expect(7);
        let (kind, _, message) = error(&outcome);
        assert_eq!(kind, "policy-rejected");
        assert!(message.contains("policy-file"), "{message}");
    }
    assert_eq!(scratch.tree(), [""; 0]);
}

#[test]
fn a_policy_that_cannot_be_used_has_exit_code_7() {
    let scratch = Scratch::new();
    let garbage = scratch.path().join("garbage.wasm");
    fs::write(&garbage, "not a component").unwrap();
    let garbage = garbage.to_str().unwrap();
    // `printf 'not a component' | sha256sum`
    let garbage_digest = "sha256:a8a79aba8d88c7df8dcc2623d7b21b4815fe2ca50bc5a52d489303563437de31";
    let zeros = format!("sha256:{}", "0".repeat(64));
    let verify = |file: &str, digest: &str| {
        let arguments = ["policy", "verify", file, "--policy-digest", digest, "-o", "json"];
        error(&run(&mut scratch.command_of(Build::PolicyFile, arguments), []).expect(7)).2
    };
    assert!(verify(hostile::POLICY, &zeros).contains("wrong digest"));
    assert!(verify(hostile::POLICY, "sha256:0").contains("64 hex digits"));
    assert!(verify(hostile::POLICY, &zeros[7..]).contains("sha256:"));
    assert!(verify(garbage, garbage_digest).contains("not a component"));
    assert!(verify("/nonexistent.wasm", &zeros).contains("/nonexistent.wasm"));
}

/// Of several ids, one that cannot be deleted does not keep the others.
#[test]
fn a_delete_that_fails_for_one_id_goes_on_with_the_others() {
    let scratch = Scratch::new();
    for id in ["a", "b", "c"] {
        create(&scratch, id);
    }
    let outcome = scratch.run(["delete", "a", "..", "b", "gone", "-bad", "c", "-o", "json"]);
    // `-bad` looks like options: nothing has been done.
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(scratch.bundle("a").is_dir());

    let outcome = scratch.run(["delete", "-o", "json", "--", "a", "..", "b", "gone", "-bad", "c"]).expect(3);
    assert_eq!(outcome.json(), serde_json::json!({ "deleted": ["a", "b", "c"] }));
    let errors: Vec<serde_json::Value> =
        outcome.stderr.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(errors.len(), 2, "{outcome:?}");
    assert!(errors.iter().all(|error| error["error"]["kind"] == "invalid-identifier"), "{outcome:?}");
}

/// The first failure decides.
#[test]
fn the_exit_code_of_several_failures_is_that_of_the_first() {
    let scratch = Scratch::new();
    create(&scratch, "busy");
    let shim = Killed(Command::new("sleep").arg("1000").current_dir(scratch.bundle("busy")).spawn().unwrap());
    fs::write(scratch.bundle("busy").join("shim.pid"), shim.0.id().to_string()).unwrap();
    scratch.run(["delete", "busy", "a..b"]).expect(6);
    scratch.run(["delete", "a..b", "busy"]).expect(3);
}
