//! What scripts and people meet every day: variables, readers that go away, messages, input that is odd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use dunnage_tests::binary::{run, through};
use dunnage_tests::{Scratch, specs};

fn plain() -> String {
    specs::data("plain.json").to_str().expect("a path in UTF-8").to_owned()
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    let scratch = Scratch::new();
    for variable in
        ["DUNNAGE_STATE", "DUNNAGE_ROOT", "DUNNAGE_NAMESPACE", "DUNNAGE_OUTPUT", "DUNNAGE_GID_RANGE", "DUNNAGE_POLICY"]
    {
        let mut command = scratch.command(["--state", "s", "--root", "r", "shim", "config", "web-1", "-o", "json"]);
        let json = run(command.env(variable, ""), []).expect(0).json();
        assert_eq!(json["namespace"], "default", "{variable}");
    }
    let mut command = Command::new(dunnage_tests::binary::path(dunnage_tests::binary::Build::Default));
    command.env_clear().args(["shim", "config", "web-1", "-o", "json"]);
    for variable in ["DUNNAGE_STATE", "DUNNAGE_ROOT", "DUNNAGE_SOCKET_ROOT", "DUNNAGE_ADDRESS"] {
        command.env(variable, "");
    }
    assert_eq!(run(&mut command, []).expect(0).json()["path"], "/run/dunnage/default/web-1");
}

#[test]
fn errors_of_usage_do_not_list_what_is_set() {
    let scratch = Scratch::new();
    let failed = scratch.run(["create", "web-1"]).expect(2);
    assert!(failed.stderr.contains("--spec") && !failed.stderr.contains("--state"), "{failed:?}");
    assert!(failed.stderr.contains("create --help"), "{failed:?}");
}

#[test]
fn a_reader_that_goes_away_is_the_end_and_no_failure() {
    let scratch = Scratch::new();
    let event = scratch.path().join("event");
    fs::write(&event, []).unwrap();
    for _ in 0..2000 {
        dunnage::events::publish(&scratch.state(), "/tasks/x", "default", b"").unwrap();
    }
    for arguments in [&["events"][..], &["events", "--since", "1h"], &["completions", "bash"], &["--help"], &["list"]] {
        let command = scratch.command(arguments.iter().copied());
        let script = "set -o pipefail; \"$@\" | head -c 1 >/dev/null";
        let mut shell = through("/bin/bash", ["-c", script, "bash"], &command);
        let output = shell.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_bundle_that_is_not_there_is_told_or_an_error_as_one_likes() {
    let scratch = Scratch::new();
    let told = scratch.run(["delete", "typo"]).expect(0);
    assert!(told.stderr.contains("there is no such bundle"), "{told:?}");
    let told = scratch.run(["delete", "typo", "-o", "json"]).expect(0);
    assert_eq!((&told.json()["deleted"], told.stderr.as_str()), (&serde_json::json!([]), ""));
    assert_eq!(scratch.run(["delete", "typo", "--ignore-missing"]).expect(0).stderr, "");
    let failed = scratch.run(["delete", "typo", "--must-exist", "-o", "json"]).expect(5);
    assert!(failed.stderr.contains("\"kind\":\"not-found\""), "{failed:?}");
}

#[test]
fn messages_about_a_spec_name_its_file_and_the_place() {
    let scratch = Scratch::new();
    let spec = scratch.path().join("odd.json");
    for (content, what) in [
        (&b"\xef\xbb\xbf{}"[..], "it starts with a byte order mark"),
        (b"{\n  \"linux\": 7\n}", "linux is not an object"),
        (b"{\"a\xff\":1}", "not UTF-8"),
    ] {
        fs::write(&spec, content).unwrap();
        for command in ["create", "gid"] {
            let arguments = if command == "create" { vec!["create", "web-1"] } else { vec!["gid"] };
            let failed = scratch.run(arguments.into_iter().chain(["--spec", spec.to_str().unwrap()])).expect(3);
            let (path, line) = (spec.to_str().unwrap(), "(line ");
            assert!(failed.stderr.contains(path) && failed.stderr.contains(what), "{failed:?}");
            assert!(failed.stderr.contains(line), "{failed:?}");
        }
    }
    assert!(scratch.tree().iter().all(|line| !line.contains("web-1")), "{:?}", scratch.tree());
}

#[test]
fn values_that_nobody_decides_on_may_be_latin_1() {
    let scratch = Scratch::new();
    let text = fs::read(plain()).unwrap();
    let at = text.windows(5).position(|window| window == b"PATH=").expect("a variable");
    let mut latin = text.clone();
    latin.splice(at..at, *b"NAME=caf\xe9\",\"");
    let spec = scratch.path().join("latin.json");
    fs::write(&spec, &latin).unwrap();
    let created = scratch.run(["create", "web-1", "--spec", spec.to_str().unwrap(), "-o", "json"]).expect(0).json();
    assert_eq!(created["remapped_gid"], 0);
    assert_eq!(fs::read(scratch.bundle("web-1").join("config.json")).unwrap(), latin);
}

#[test]
fn the_limit_on_specs_has_an_option() {
    let scratch = Scratch::new();
    let spec = scratch.path().join("large.json");
    let large = |size: usize| format!("{{\"annotations\":{{\"x\":\"{}\"}}}}", "y".repeat(size));
    fs::write(&spec, large(17 << 20)).unwrap();
    let path = spec.to_str().unwrap();
    let failed = scratch.run(["create", "web-1", "--spec", path]).expect(3);
    assert!(failed.stderr.contains("--max-spec-size") && failed.stderr.contains(path), "{failed:?}");
    scratch.run(["create", "web-1", "--spec", path, "--max-spec-size", "32M"]).expect(0);
    fs::write(&spec, large(2000)).unwrap();
    scratch.run(["create", "web-2", "--spec", path, "--max-spec-size", "1K"]).expect(3);
    scratch.run(["create", "web-2", "--spec", path, "--max-spec-size", "many"]).expect(2);
}

#[test]
fn a_bundle_that_can_never_be_used_is_told() {
    let scratch = Scratch::new();
    let long = scratch.path().join("s".repeat(80));
    let told = scratch.run(["create", "web-1", "--spec", &plain(), "--socket-root", long.to_str().unwrap()]).expect(0);
    assert!(told.stderr.contains("no shim can listen at"), "{told:?}");
    assert_eq!(scratch.run(["create", "web-2", "--spec", &plain()]).expect(0).stderr, "");
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_an_ancestor_that_is_closed_to_the_group_is_named() {
    let scratch = Scratch::new();
    let closed = scratch.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let state = closed.join("state");
    let create = |id: &str| {
        let spec = specs::data("userns.json");
        scratch.run(["create", id, "--state", state.to_str().unwrap(), "--spec", spec.to_str().unwrap()]).expect(0)
    };
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let told = create("web-1");
    assert!(told.stderr.contains(&format!("{} is closed to it", closed.display())), "{told:?}");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o711)).unwrap();
    assert_eq!(create("web-2").stderr, "");
}

#[test]
fn doctor_says_what_works_and_what_to_do() {
    let scratch = Scratch::new();
    let checks = scratch.run(["doctor", "-o", "json"]);
    let checks = checks.json();
    let verdict = |name: &str| {
        let check = checks.as_array().unwrap().iter().find(|check| check["check"] == name);
        check.unwrap_or_else(|| panic!("no {name} in {checks}"))["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (verdict("kernel"), verdict("/proc"), verdict("state directory")),
        ("ok".into(), "ok".into(), "ok".into())
    );
    // Nothing was made.
    assert!(!scratch.state().exists());
    fs::create_dir(scratch.state()).unwrap();
    fs::set_permissions(scratch.state(), fs::Permissions::from_mode(0o777)).unwrap();
    let told = scratch.run(["doctor"]).expect(1);
    assert!(told.stdout.contains(&format!("chmod go-w {}", scratch.state().display())), "{told:?}");
    let mut command = scratch.command(["doctor"]);
    let told = run(command.env("PATH", "/nowhere"), []).expect(1);
    assert!(told.stdout.contains("install runc"), "{told:?}");
}
