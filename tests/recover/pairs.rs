//! Recovery must not become the disaster: it acts on a state and a root that belong together.

use std::fs;
use std::process::Command;

use dunnage_tests::scratch::tree;
use dunnage_tests::{Scratch, run, specs};

use super::{create, found, recover};

/// Recovers with other directories than those of the scratch directory; they do not belong
/// together, and nothing changes.
#[track_caller]
fn refused(scratch: &Scratch, state: &str, root: &str) {
    let before = scratch.tree();
    let mut command = scratch.command(["recover", "--adopt-v1", "--state"]);
    command.arg(scratch.path().join(state)).arg("--root").arg(scratch.path().join(root));
    let outcome = run(&mut command, []).expect(1);
    assert!(outcome.stderr.contains("nothing was changed"), "{outcome:?}");
    assert_eq!(scratch.tree(), before);
}

#[test]
fn a_mistyped_state_changes_nothing() {
    let scratch = Scratch::new();
    create(&scratch, "web-1");
    refused(&scratch, "stat", "root");
    refused(&scratch, "state", "roo");
    // A directory of another pair is refused too.
    let other = |command: &mut Command| {
        command.arg("--state").arg(scratch.path().join("state2")).arg("--root").arg(scratch.path().join("root2"));
        run(command, []).expect(0);
    };
    other(scratch.command(["create", "web-2", "--spec"]).arg(specs::data("plain.json")));
    refused(&scratch, "state2", "root");
    refused(&scratch, "state", "root2");
    // Using a state with the root of another one does not make them a pair.
    let mut command = scratch.command(["create", "web-3", "--spec"]);
    command.arg(specs::data("plain.json")).arg("--state").arg(scratch.path().join("state2"));
    run(&mut command, []).expect(0);
    refused(&scratch, "state2", "root");
    assert_eq!(found(&recover(&scratch, &["--dry-run"]).expect(0)), ["work-dir would-remove web-3"]);
}

#[test]
fn a_copy_is_not_taken_for_the_original() {
    let scratch = Scratch::new();
    create(&scratch, "web-1");
    for (from, to) in [("state", "state2"), ("root", "root2")] {
        let status = Command::new("cp").arg("-a").args([from, to]).current_dir(scratch.path()).status().unwrap();
        assert!(status.success());
    }
    fs::create_dir(scratch.path().join("root2/default/orphan")).unwrap();
    refused(&scratch, "state", "root2");
    refused(&scratch, "state2", "root");
    refused(&scratch, "state2", "root2");
}

#[test]
fn directories_of_containerd_are_not_ours() {
    let scratch = Scratch::new();
    for place in ["state/moby/web-1/rootfs", "root/moby/web-1", "root/moby/web-2", "state/moby/.web-3"] {
        fs::create_dir_all(scratch.path().join(place)).unwrap();
    }
    refused(&scratch, "state", "root");
    // Not even after a bundle was made there.
    create(&scratch, "ours");
    refused(&scratch, "state", "root");
}

#[test]
fn directories_that_hold_nothing_need_no_recovery() {
    let scratch = Scratch::new();
    assert_eq!(found(&recover(&scratch, &[]).expect(0)), [] as [&str; 0]);
    assert_eq!(scratch.tree(), [] as [&str; 0]);
    // What the operator has made is theirs, and not in the way of a pair.
    fs::create_dir_all(scratch.root().join("default")).unwrap();
    fs::create_dir_all(scratch.state().join("default/.web-1")).unwrap();
    create(&scratch, "web-2");
    assert_eq!(found(&recover(&scratch, &[]).expect(0)), ["v1 kept .web-1"]);
}

#[test]
fn broken_records_are_told_and_keep_nobody_from_creating() {
    let scratch = Scratch::new();
    create(&scratch, "web-1");
    fs::create_dir(scratch.work_dir("orphan")).unwrap();
    // After a reboot only the record in the root is left.
    for base in [scratch.state(), scratch.root()] {
        for content in ["", "{}", "[1,2", "\0"] {
            fs::write(base.join(".dunnage/pair.json"), content).unwrap();
            let outcome = recover(&scratch, &[]).expect(1);
            assert!(outcome.stderr.contains("pair.json"), "{outcome:?}");
            assert!(scratch.work_dir("orphan").exists());
            create(&scratch, "web-2");
            scratch.run(["delete", "web-2"]).expect(0);
        }
        fs::remove_file(base.join(".dunnage/pair.json")).unwrap();
    }
}

#[test]
fn directories_of_others_get_no_record() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.root().join("moby/theirs")).unwrap();
    create(&scratch, "web-1");
    scratch.run(["delete", "web-1"]).expect(0);
    let left = tree(scratch.path());
    assert!(left.iter().all(|line| !line.contains(".dunnage")), "{left:?}");
}
