//! What runs out: space, descriptors, the size of files; and file systems that are read-only.
//! (`create/failures.rs` has a create at every number of inodes, and one without space.)

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use dunnage_tests::binary::through;
use dunnage_tests::containers::{Base, Node, possible};
use dunnage_tests::{Outcome, Scratch, mounts, privileges, run, specs};

use crate::checks::{added, by_path, message};

/// The number of descriptors that must be enough for a bundle.
const ENOUGH: u64 = 32;
/// The number that must be enough for a shim, and for a whole container with its streams.
const PLENTY: u64 = 64;

fn spec() -> String {
    specs::data("plain.json").to_str().expect("UTF-8").to_owned()
}

/// A command under a limit of prlimit(1).
fn limited(command: &Command, limit: &str) -> Outcome {
    run(through("prlimit", [limit], command).env_remove("LD_LIBRARY_PATH"), [])
}

/// A command that may fail under a limit, but cleanly. Whether it failed.
#[track_caller]
fn works_or_fails_cleanly(scratch: &Scratch, arguments: &[&str], limit: &str) -> bool {
    let before = scratch.tree();
    let outcome = limited(&scratch.command(arguments), limit);
    if outcome.code == Some(0) {
        return false;
    }
    // With too few descriptors the loader gives up before any code of ours runs.
    let loader = outcome.code == Some(127) && outcome.stderr.contains("error while loading shared libraries");
    if !loader {
        message(&outcome, &[1, 7], None).unwrap_or_else(|why| panic!("{limit}: {arguments:?}: {why}: {outcome:?}"));
    }
    assert_eq!(scratch.tree(), before, "{limit}: {arguments:?}: {outcome:?}");
    true
}

#[test]
fn any_number_of_descriptors_will_do_or_the_error_says_so() {
    let mut failures = 0;
    for most in 4..=ENOUGH {
        let scratch = Scratch::new();
        let limit = format!("--nofile={most}:{most}");
        let spec = spec();
        if works_or_fails_cleanly(&scratch, &["create", "web", "--spec", &spec], &limit) {
            assert_ne!(most, ENOUGH);
            failures += 1;
            scratch.run(["create", "web", "--spec", &spec]).expect(0);
        }
        let _ = works_or_fails_cleanly(&scratch, &["list"], &limit);
        // Deeper than there are descriptors.
        fs::create_dir_all(scratch.bundle("web").join("d/".repeat(50))).expect("a deep tree");
        if works_or_fails_cleanly(&scratch, &["delete", "web"], &limit) {
            assert_ne!(most, ENOUGH);
            failures += 1;
            assert_eq!(scratch.run(["delete", "web"]).expect(0).stdout, "web\n");
        }
        assert!(!scratch.bundle("web").exists() && !scratch.work_dir("web").exists(), "{most}");
    }
    assert!(failures > 5, "the limit was never too low: {failures}");
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_containers_run_with_few_descriptors_or_leave_nothing() {
    if !possible("privileged_containers_run_with_few_descriptors_or_leave_nothing") {
        return;
    }
    let node = Node::new();
    for most in (8..=64).chain([PLENTY]) {
        // The soft limit: runc must set that of the container, which may not be above the hard one.
        let limit = format!("--nofile={most}:");
        let outcome = limited(&node.command(Base::Plain, "web", &["/bin/echo", "hello"], &["--rm"]), &limit);
        if outcome.code == Some(0) {
            assert_eq!(outcome.stdout, "hello\n", "{most}");
        } else {
            assert_ne!(most, PLENTY, "{outcome:?}");
            message(&outcome, &[125], None).unwrap_or_else(|why| panic!("{most}: {why}: {outcome:?}"));
        }
        node.expect_nothing_left();
        node.dunnage(["create", "web", "--spec", &spec()]).expect(0);
        let outcome = limited(&node.scratch.command(["shim", "start", "web"]), &limit);
        if outcome.code != Some(0) {
            assert_ne!(most, PLENTY, "{outcome:?}");
            message(&outcome, &[1, 7], None).unwrap_or_else(|why| panic!("{most}: {why}: {outcome:?}"));
            assert_eq!(node.processes(), [], "{most}: {outcome:?}");
        }
        node.dunnage(["delete", "web", "--force"]).expect(0);
        node.expect_nothing_left();
    }
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_deleting_with_few_descriptors_overlooks_no_shim() {
    if !possible("privileged_deleting_with_few_descriptors_overlooks_no_shim") {
        return;
    }
    let node = Node::new();
    let mut failures = 0;
    for most in 8..=ENOUGH {
        node.dunnage(["create", "web", "--spec", &spec()]).expect(0);
        node.dunnage(["shim", "start", "web"]).expect(0);
        let limit = format!("--nofile={most}:");
        let outcome = limited(&node.scratch.command(["delete", "web", "--force"]), &limit);
        if outcome.code != Some(0) {
            failures += 1;
            message(&outcome, &[1, 7], None).unwrap_or_else(|why| panic!("{most}: {why}: {outcome:?}"));
            node.dunnage(["delete", "web", "--force"]).expect(0);
        }
        node.expect_nothing_left();
    }
    assert!(failures > 5, "the limit was never too low: {failures}");
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_like_any_other() {
    let spec = spec();
    let scratch = Scratch::new();
    let mut failures = 0;
    for most in [0, 1, 100, 1000, 2000, 4096, 16 << 10, 64 << 10] {
        let limit = format!("--fsize={most}:{most}");
        if works_or_fails_cleanly(&scratch, &["create", "web", "--spec", &spec], &limit) {
            failures += 1;
            scratch.run(["create", "web", "--spec", &spec]).expect(0);
        }
        if works_or_fails_cleanly(&scratch, &["delete", "web"], &limit) {
            scratch.run(["delete", "web"]).expect(0);
        }
        assert!(!scratch.bundle("web").exists(), "{most}");
    }
    assert!(failures > 3, "the limit was never too low: {failures}");
}

/// Fills a file system until nothing fits any more.
fn fill(directory: &Path, what: &[u8]) {
    for number in 0.. {
        match fs::write(directory.join(format!("filler-{number}")), what) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_full_file_system_starts_nothing_and_lets_go() {
    let name = "privileged_a_full_file_system_starts_nothing_and_lets_go";
    if !possible(name) {
        return;
    }
    for (options, filler) in [(c"size=512k,mode=0700", &[0; 4096][..]), (c"nr_inodes=64,mode=0700", &[])] {
        mounts::private(|| {
            let scratch = Scratch::new();
            let full = scratch.path().join("full");
            mounts::tmpfs_with(&full, options);
            let command = |arguments: &[&str]| {
                let mut command = scratch.command(arguments);
                let at = |name: &str| full.join(name);
                command.env("DUNNAGE_STATE", at("state")).env("DUNNAGE_ROOT", at("root"));
                run(&mut command, [])
            };
            command(&["create", "web", "--spec", &spec()]).expect(0);
            fill(&full, filler);
            // The directories of records may stay, where they could be made.
            let tree = || by_path(dunnage_tests::scratch::tree(&full));
            let before = tree();
            let rootfs = scratch.path().to_str().expect("UTF-8");
            for arguments in [
                &["create", "other", "--spec", &spec()][..],
                &["shim", "start", "web"],
                &["run", "other", "--spec", &spec(), "--rootfs", rootfs],
            ] {
                let outcome = command(arguments);
                message(&outcome, &[1, 125], Some("ENOSPC"))
                    .unwrap_or_else(|why| panic!("{arguments:?}: {why}: {outcome:?}"));
                let left = (added(&before, &tree()), added(&tree(), &before));
                assert_eq!(left, (Vec::new(), Vec::new()), "{arguments:?}: {outcome:?}");
            }
            assert_eq!(command(&["delete", "web"]).expect(0).stdout, "web\n");
            assert!(!full.join("state/default/web").exists() && !full.join("root/default/web").exists());
            mounts::umount(&full);
        });
    }
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_read_only_file_system_is_not_changed_and_can_be_read() {
    if !privileges::root("privileged_a_read_only_file_system_is_not_changed_and_can_be_read") {
        return;
    }
    let scratch = Scratch::new();
    mounts::private(|| {
        mounts::tmpfs_with(scratch.path(), c"mode=0700");
        scratch.run(["create", "web", "--spec", &spec()]).expect(0);
        let before = scratch.tree();
        mounts::set_read_only(scratch.path(), true);
        let rootfs = scratch.path().to_str().expect("UTF-8");
        for arguments in [
            &["create", "other", "--spec", &spec()][..],
            &["create", "other", "--durable", "--spec", &spec()],
            &["delete", "web"],
            &["shim", "start", "web"],
            &["run", "other", "--spec", &spec(), "--rootfs", rootfs],
        ] {
            let outcome = scratch.run(arguments);
            message(&outcome, &[1, 125], Some("EROFS"))
                .unwrap_or_else(|why| panic!("{arguments:?}: {why}: {outcome:?}"));
        }
        scratch.run(["list"]).expect(0);
        scratch.run(["inspect", "web"]).expect(0);
        mounts::set_read_only(scratch.path(), false);
        assert_eq!(scratch.tree(), before);
        assert_eq!(scratch.run(["delete", "web"]).expect(0).stdout, "web\n");
        mounts::umount(scratch.path());
    });
}
