//! A policy that decides otherwise changes the outcome.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use dunnage::{ErrorKind, RuncOptions, ShimOptions};
use dunnage_tests::binary::Build;
use dunnage_tests::hostile::{self, GROUP};
use dunnage_tests::scratch::id;
use dunnage_tests::watchdog::within;
use dunnage_tests::{Scratch, privileges, run, specs};

/// Mode and group of a path.
fn mode_and_group(path: impl AsRef<std::path::Path>) -> (u32, u32) {
    let metadata = std::fs::symlink_metadata(path).expect("metadata");
    (metadata.mode() & 0o7777, metadata.gid())
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_the_policy_chooses_the_mode_and_the_group() {
    if !privileges::root("privileged_the_policy_chooses_the_mode_and_the_group") {
        return;
    }
    let scratch = Scratch::new();
    let dunnage = hostile::dunnage(&scratch);
    // The spec maps nothing: the shipped policy would have given it mode 0700 and group 0.
    for (name, mode) in [("mode-0700", 0o700), ("other-group", 0o710)] {
        let created = dunnage.create(&id(name), &specs::plain()).unwrap();
        assert_eq!(created.remapped_gid, GROUP);
        assert_eq!(mode_and_group(scratch.bundle(name)), (mode, GROUP), "{name}");
        assert_eq!(mode_and_group(scratch.bundle(name).join("config.json")), (0o640, GROUP), "{name}");
    }
    scratch.dunnage().create(&id("shipped"), &specs::plain()).unwrap();
    assert_eq!(mode_and_group(scratch.bundle("shipped")), (0o700, 0));
}

#[test]
fn the_policy_chooses_the_group_that_is_told() {
    let scratch = Scratch::new();
    assert_eq!(hostile::dunnage(&scratch).remapped_gid(&specs::plain()).unwrap(), GROUP);
    assert_eq!(scratch.dunnage().remapped_gid(&specs::plain()).unwrap(), 0);
}

#[test]
fn the_policy_chooses_addresses_and_settings() {
    let scratch = Scratch::new();
    let dunnage = hostile::dunnage(&scratch);
    let web = id("web-1");
    let created = dunnage.create(&web, &specs::plain()).unwrap();
    assert_eq!(dunnage.shim_address(&web).unwrap(), "unix:///run/elsewhere/web-1");
    assert_eq!(dunnage.legacy_shim_address(&web).unwrap(), "/elsewhere");
    assert_eq!(dunnage.connect_address(&web, false).unwrap().address, "unix:///run/elsewhere/x");
    let inspection = dunnage.inspect(&web).unwrap();
    assert_eq!(inspection.address.unwrap().as_deref(), Some("unix:///run/elsewhere/x"));
    let options = ShimOptions {
        runtime_root: "/run/runc".to_owned(),
        runc: Some(RuncOptions { runtime_root: "/run/other".to_owned(), systemd_cgroup: false }),
    };
    let config = dunnage.shim_config(&created.bundle, &options).unwrap();
    assert_eq!((config.runtime_root.as_str(), config.systemd_cgroup), ("/run/runc", true));
    let settings = dunnage.task_settings(&specs::plain()).unwrap();
    assert_eq!((settings.terminal, settings.io_uid, settings.io_gid), (true, GROUP, GROUP));
}

/// What scripts read changes likewise.
#[test]
fn the_binary_takes_the_policy_of_the_options() {
    let scratch = Scratch::new();
    let spec = specs::data("plain.json");
    let mut command = scratch.command_of(Build::PolicyFile, ["create", "web-1", "-o", "json", "--spec"]);
    let created = run(command.arg(&spec).args(hostile::options()), []).expect(0).json();
    assert_eq!(created["shim_address"], "unix:///run/elsewhere/web-1");

    let mut command = scratch.command_of(Build::PolicyFile, ["gid", "--spec"]);
    let gid = run(command.arg(&spec).args(hostile::options()), []).expect(0);
    assert_eq!(gid.stdout, "4242\n");

    let mut command = scratch.command_of(Build::PolicyFile, ["policy", "inspect", "-o", "json"]);
    let shown = run(command.args(hostile::options()), []).expect(0).json();
    assert_eq!(shown["digest"], hostile::digest());
    assert_eq!(shown["source"], hostile::POLICY);
    assert_eq!(shown["imports"], serde_json::json!(["dunnage:bundle/filesystem@0.1.0"]));
}

/// A static counter always sees 1: every call has an instance of its own, in every thread.
#[test]
fn nothing_passes_from_one_call_to_the_next() {
    let scratch = Scratch::new();
    let dunnage = hostile::dunnage(&scratch);
    let spec = specs::plain();
    let count = || {
        for _ in 0..200 {
            let error = dunnage.create(&id("counter"), &spec).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidSpec);
            assert!(error.to_string().contains("call 1 of this instance"), "{error}");
        }
    };
    within(Duration::from_secs(300), "counting", || {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(count);
            }
        });
    });
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
}
