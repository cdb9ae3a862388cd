//! State and root directories that cannot be used or cannot be trusted.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use dunnage_tests::{Scratch, mounts, privileges, run};

use super::{check_form, good, refuse};

fn make(path: &Path, mode: u32) {
    fs::create_dir_all(path).expect("a directory");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("set a mode");
}

/// A create and a delete with this directory in the place of state or root: both are refused.
#[track_caller]
fn refuse_both(scratch: &Scratch, option: &str, directory: &str, words: &[&str]) {
    let spec = good();
    for line in [&["create", "web", "--spec", &spec][..], &["delete", "web"]] {
        // Without a bundle, a delete has no business in the root directory unless state is fine.
        let mut command = scratch.command(line);
        refuse(scratch, command.args([option, directory]), &[], 1, words);
    }
}

#[track_caller]
fn refuse_place(scratch: &Scratch, path: &Path, words: &[&str]) {
    let text = path.to_str().expect("a path of text");
    for option in ["--state", "--root"] {
        let spec = good();
        refuse(scratch, scratch.command(["create", "web", "--spec", &spec]).args([option, text]), &[], 1, words);
    }
    refuse_both(scratch, "--state", text, words);
    for line in [&["list"][..], &["inspect", "web"], &["shim", "connect-address", "web"]] {
        refuse(scratch, scratch.command(line).args(["--state", text]), &[], 1, words);
    }
}

#[test]
fn a_file_is_no_state_directory() {
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    fs::write(&file, "data").unwrap();
    refuse_place(&scratch, &file, &[file.to_str().unwrap(), "Not a directory"]);
    let below = file.join("state");
    refuse_place(&scratch, &below, &[file.to_str().unwrap(), "Not a directory"]);
}

#[test]
fn paths_that_are_none_are_refused() {
    let scratch = Scratch::new();
    for option in ["--state", "--root", "--socket-root"] {
        let outcome = scratch.run(["list", option, ""]).expect(2);
        assert!(outcome.stderr.contains(option), "{outcome:?}");
    }
    let long = format!("/{}", "x".repeat(256));
    let spec = good();
    refuse(
        &scratch,
        &mut scratch.command(["create", "web", "--spec", &spec, "--state", &long]),
        &[],
        1,
        &["open-state"],
    );
    let looping = scratch.path().join("loop");
    symlink("loop", &looping).unwrap();
    refuse_place(&scratch, &looping, &["Too many levels of symbolic links"]);
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    for mode in [0o777, 0o722, 0o1777, 0o702] {
        let scratch = Scratch::new();
        let open = scratch.path().join("open");
        make(&open, mode);
        refuse_place(&scratch, &open, &[open.to_str().unwrap(), "writable by everybody", "chmod go-w"]);
    }
}

/// A user who can write to an ancestor can put another directory in its place; a sticky one, like
/// `/tmp`, is fine.
#[test]
fn an_ancestor_that_others_can_write_to_is_named() {
    let scratch = Scratch::new();
    let open = scratch.path().join("open");
    make(&open.join("deep/state"), 0o711);
    make(&open, 0o777);
    let state = open.join("deep/state");
    refuse_place(&scratch, &state, &[open.to_str().unwrap(), "on the way to", state.to_str().unwrap(), "everybody"]);
    make(&open, 0o1777);
    let spec = good();
    scratch.run(["create", "web", "--spec", &spec, "--state", state.to_str().unwrap()]).expect(0);
}

/// The same directory by another spelling: a path that ends with `..`, or a link to one.
#[test]
fn a_way_back_up_is_no_way_around_the_check() {
    let scratch = Scratch::new();
    let open = scratch.path().join("open");
    make(&open.join("inner"), 0o711);
    make(&open, 0o1777);
    refuse_place(&scratch, &open.join("inner/.."), &["writable by everybody"]);
    refuse_place(&scratch, &open.join("inner/../."), &["writable by everybody"]);
    let link = scratch.path().join("link");
    symlink(open.join("inner/.."), &link).unwrap();
    refuse_place(&scratch, &link, &["writable by everybody"]);
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_directory_of_somebody_else_is_refused() {
    if !privileges::root("directories of others") {
        return;
    }
    let scratch = Scratch::new();
    let theirs = scratch.path().join("theirs");
    make(&theirs.join("state"), 0o711);
    chown(&theirs, Some(4711), Some(4711)).unwrap();
    refuse_place(&scratch, &theirs, &[theirs.to_str().unwrap(), "belongs to user 4711"]);
    let words = [theirs.to_str().unwrap(), "on the way to", "belongs to user 4711"];
    refuse_place(&scratch, &theirs.join("state"), &words);
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_directory_that_a_foreign_group_can_write_to_is_refused() {
    if !privileges::root("directories of other groups") {
        return;
    }
    let scratch = Scratch::new();
    let theirs = scratch.path().join("theirs");
    make(&theirs, 0o730);
    chown(&theirs, None, Some(4711)).unwrap();
    refuse_place(&scratch, &theirs, &[theirs.to_str().unwrap(), "writable by its group"]);
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_link_of_somebody_else_is_not_followed() {
    if !privileges::root("links of others") {
        return;
    }
    let scratch = Scratch::new();
    make(&scratch.path().join("real"), 0o711);
    let link = scratch.path().join("link");
    symlink("real", &link).unwrap();
    lchown(&link, Some(4711), None).unwrap();
    refuse_place(&scratch, &link, &[link.to_str().unwrap(), "symbolic link of user 4711"]);
    refuse_place(&scratch, &link.join("state"), &[link.to_str().unwrap(), "symbolic link of user 4711"]);
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_namespace_directory_of_somebody_else_is_refused() {
    if !privileges::root("directories of others") {
        return;
    }
    for base in ["state", "root"] {
        let scratch = Scratch::new();
        for made in ["state", "root"] {
            make(&scratch.path().join(made), 0o711);
        }
        let theirs = scratch.path().join(base).join("default");
        make(&theirs, 0o711);
        chown(&theirs, Some(4711), Some(4711)).unwrap();
        let words = [theirs.to_str().unwrap(), "belongs to user 4711"];
        let spec = good();
        refuse(&scratch, &mut scratch.command(["create", "web", "--spec", &spec]), &[], 1, &words);
        if base == "state" {
            refuse(&scratch, &mut scratch.command(["delete", "web"]), &[], 1, &words);
            refuse(&scratch, &mut scratch.command(["list"]), &[], 1, &words);
            // One broken namespace does not hide the others (D13), and is reported.
            let all = scratch.run(["list", "-A", "-o", "json"]).expect(0);
            assert!(all.stdout == "[]\n" && all.stderr.contains(theirs.to_str().unwrap()), "{all:?}");
        }
    }
}

#[test]
fn a_directory_that_may_not_be_written_is_named() {
    let scratch = Scratch::new();
    make(&scratch.state(), 0o555);
    let mut command = scratch.command(["create", "web", "--spec", &good()]);
    privileges::as_ordinary_user(&scratch, &mut command);
    let (uid, gid) = privileges::ordinary_ids();
    chown(scratch.state(), Some(uid), Some(gid)).unwrap();
    let state = scratch.state();
    refuse(&scratch, &mut command, &[], 1, &[state.to_str().unwrap(), "Permission denied"]);
}

/// containerd #4391, moby #42411: "permission denied" without the directory that denies it.
#[test]
fn an_ancestor_that_may_not_be_entered_is_named() {
    let scratch = Scratch::new();
    let closed = scratch.path().join("closed");
    make(&closed.join("state"), 0o711);
    make(&closed, 0o600);
    let mut command = scratch.command(["create", "web", "--spec", &good()]);
    command.arg("--state").arg(closed.join("state"));
    privileges::as_ordinary_user(&scratch, &mut command);
    let (uid, gid) = privileges::ordinary_ids();
    chown(&closed, Some(uid), Some(gid)).unwrap();
    let outcome = run(&mut command, []);
    check_form(&outcome, 1, &[closed.to_str().unwrap(), "Permission denied"]);
}

/// A directory that is mounted read-only over itself.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn mount(path: PathBuf) -> Self {
        let mount = |arguments: &[&str]| {
            assert!(Command::new("mount").args(arguments).arg(&path).status().expect("mount").success());
        };
        mount(&["--bind", path.to_str().expect("a path of text")]);
        mount(&["-o", "remount,bind,ro"]);
        assert!(fs::write(path.join("probe"), "").is_err(), "{} is writable", path.display());
        Self(path)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        // Without this the scratch directory could not be removed.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_read_only_file_system_is_named() {
    if !privileges::root("read-only mounts") {
        return;
    }
    mounts::private(|| {
        for base in ["state", "root"] {
            let scratch = Scratch::new();
            let place = scratch.path().join(base);
            make(&place, 0o711);
            let _read_only = ReadOnly::mount(place.clone());
            let words = [place.to_str().unwrap(), "open-namespace", "Read-only file system"];
            refuse(&scratch, &mut scratch.command(["create", "web", "--spec", &good()]), &[], 1, &words);
            // Nothing to delete, so nothing to write.
            scratch.run(["delete", "web"]).expect(0);
        }
        let scratch = Scratch::new();
        scratch.run(["create", "web", "--spec", &good()]).expect(0);
        let state = scratch.state();
        let read_only = ReadOnly::mount(state.clone());
        let words = [state.to_str().unwrap(), "Read-only file system"];
        refuse(&scratch, &mut scratch.command(["delete", "web"]), &[], 1, &words);
        scratch.run(["inspect", "web"]).expect(0);
        drop(read_only);
        assert_eq!(scratch.run(["delete", "web"]).expect(0).stdout, "web\n");
    });
}
