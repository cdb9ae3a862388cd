//! Owners, groups and modes: exactly what was decided, whatever the parents say, and nothing that
//! belongs to another user.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use dunnage::ErrorKind;
use dunnage_tests::binary::{self, Build};
use dunnage_tests::scratch::id;
use dunnage_tests::{Scratch, mounts, privileges, run, specs};
use rustix::fs::{XattrFlags, listxattr, setxattr};

/// A user who is neither root nor the owner of anything.
const STRANGER: u32 = 12_345;

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

/// Mode, owner and group of a path.
fn access(path: impl AsRef<Path>) -> (u32, u32, u32) {
    let metadata = fs::symlink_metadata(path).expect("metadata");
    (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
}

/// Everything that creating a bundle makes has exactly the access it should have, and no ACL.
#[track_caller]
fn assert_exact(scratch: &Scratch, name: &str, group: u32) {
    let (bundle, work_dir) = (scratch.bundle(name), scratch.work_dir(name));
    let (bundle_mode, config_mode) = if group == 0 { (0o700, 0o600) } else { (0o710, 0o640) };
    for (path, expected) in [
        (bundle.clone(), (bundle_mode, 0, group)),
        (bundle.join("rootfs"), (0o711, 0, 0)),
        (bundle.join("config.json"), (config_mode, 0, group)),
        (work_dir, (0o711, 0, 0)),
    ] {
        assert_eq!(access(&path), expected, "{}", path.display());
        assert_eq!(acls(&path), [""; 0], "{}", path.display());
    }
}

/// The extended attributes of a path that are ACLs.
fn acls(path: &Path) -> Vec<String> {
    let mut buffer = [0_u8; 4096];
    let count = listxattr(path, &mut buffer).expect("attributes");
    let names = buffer[..count].split(|byte| *byte == 0).map(|name| String::from_utf8_lossy(name).into_owned());
    names.filter(|name| name.starts_with("system.posix_acl")).collect()
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_remapped_group_gets_the_bundle_and_nobody_else() {
    if !privileges::root("privileged_a_remapped_group_gets_the_bundle_and_nobody_else") {
        return;
    }
    let scratch = Scratch::new();
    set_mode(scratch.path(), 0o711);
    let created = scratch.dunnage().create(&id("web-1"), &specs::userns()).unwrap();
    assert_eq!(created.remapped_gid, 100_000);
    assert_exact(&scratch, "web-1", 100_000);
    for path in [scratch.state(), scratch.root(), scratch.state().join("default"), scratch.root().join("default")] {
        assert_eq!(access(&path), (0o711, 0, 0), "{}", path.display());
    }
    let config = scratch.bundle("web-1").join("config.json");
    let may = |command: &str, path: &Path, group| {
        let status = Command::new(command).arg(path).uid(STRANGER).gid(group).output().expect(command).status;
        status.success()
    };
    assert!(may("cat", &config, 100_000), "the container's group may read the spec");
    assert!(!may("cat", &config, STRANGER), "others may not");
    assert!(!may("ls", &scratch.bundle("web-1"), 100_000), "nobody else may list the bundle");
    assert!(!may("ls", &scratch.state().join("default"), 100_000), "nobody else may list the namespace");
}

/// A default ACL gives a stranger access to whatever is made, and passes itself on.
#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_default_acls_are_not_inherited() {
    if !privileges::root("privileged_default_acls_are_not_inherited") {
        return;
    }
    let scratch = Scratch::new();
    mounts::private(|| {
        for directory in [scratch.state(), scratch.root()] {
            mounts::tmpfs_with(&directory, c"mode=0711");
            let name = "system.posix_acl_default";
            setxattr(&directory, name, &generous_acl(), XattrFlags::empty()).expect("a default ACL");
        }
        for (name, spec, group) in [("web-1", specs::plain(), 0), ("web-2", specs::userns(), 100_000)] {
            scratch.dunnage().create(&id(name), &spec).unwrap();
            assert_exact(&scratch, name, group);
        }
        for base in [scratch.state(), scratch.root()] {
            let namespace = base.join("default");
            assert_eq!((access(&namespace), acls(&namespace)), ((0o711, 0, 0), Vec::new()));
            // The operator may want one on a directory that is there already: what is made in it
            // inherits nothing all the same.
            setxattr(&namespace, "system.posix_acl_default", &generous_acl(), XattrFlags::empty()).unwrap();
        }
        scratch.dunnage().create(&id("web-3"), &specs::userns()).unwrap();
        assert_exact(&scratch, "web-3", 100_000);
    });
}

/// An ACL as the kernel keeps it (posix_acl_xattr.h): the stranger may do everything.
fn generous_acl() -> Vec<u8> {
    const ANYBODY: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 5] =
        [(0x01, 7, ANYBODY), (0x02, 7, STRANGER), (0x04, 7, ANYBODY), (0x10, 7, ANYBODY), (0x20, 7, ANYBODY)];
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, who) in entries {
        acl.extend_from_slice(&tag.to_le_bytes());
        acl.extend_from_slice(&permissions.to_le_bytes());
        acl.extend_from_slice(&who.to_le_bytes());
    }
    acl
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_set_group_id_parents_pass_nothing_on() {
    if !privileges::root("privileged_set_group_id_parents_pass_nothing_on") {
        return;
    }
    let scratch = Scratch::new();
    for directory in [scratch.state(), scratch.root()] {
        fs::create_dir(&directory).unwrap();
        chown(&directory, None, Some(STRANGER)).unwrap();
        set_mode(&directory, 0o2711);
    }
    scratch.dunnage().create(&id("web-1"), &specs::plain()).unwrap();
    assert_exact(&scratch, "web-1", 0);
    for namespace in [scratch.state().join("default"), scratch.root().join("default")] {
        assert_eq!(access(&namespace), (0o711, 0, 0));
        chown(&namespace, None, Some(STRANGER)).unwrap();
        set_mode(&namespace, 0o2711);
    }
    scratch.dunnage().create(&id("web-2"), &specs::userns()).unwrap();
    assert_exact(&scratch, "web-2", 100_000);
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_what_belongs_to_somebody_else_is_left_alone() {
    if !privileges::root("privileged_what_belongs_to_somebody_else_is_left_alone") {
        return;
    }
    for foreign in ["state/default/web-1", "root/default/web-1", "state/default", "root/default", "state", "root"] {
        let scratch = Scratch::new();
        let dunnage = scratch.dunnage();
        dunnage.create(&id("web-1"), &specs::plain()).unwrap();
        let at = scratch.path().join(foreign);
        chown(&at, Some(STRANGER), None).unwrap();
        let before = scratch.tree();
        // A manager that knows the directories already, and one that does not. What the operator
        // names is looked at when it is opened, and then kept.
        let known = foreign.contains('/').then_some(dunnage);
        for dunnage in known.into_iter().chain([scratch.dunnage()]) {
            let error = dunnage.delete(&id("web-1"), true).expect_err(foreign);
            assert_eq!(error.kind(), ErrorKind::Untrusted, "{foreign}: {error}");
            assert_eq!(error.path(), Some(at.as_path()), "{foreign}: {error}");
            assert!(error.to_string().contains("belongs to user 12345"), "{foreign}: {error}");
            if !foreign.ends_with("web-1") {
                let error = dunnage.create(&id("web-2"), &specs::plain()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Untrusted, "{foreign}: {error}");
            }
            assert_eq!(scratch.tree(), before, "{foreign}");
        }
        run(&mut scratch.command(["delete", "web-1"]), []).expect(1);
        assert_eq!(scratch.tree(), before, "{foreign}");
    }
}

/// A work directory of a stranger's that waits for the bundle.
#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_foreign_work_directory_is_not_used() {
    if !privileges::root("privileged_a_foreign_work_directory_is_not_used") {
        return;
    }
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.work_dir("web-1")).unwrap();
    chown(scratch.work_dir("web-1"), Some(STRANGER), Some(STRANGER)).unwrap();
    set_mode(scratch.root(), 0o711);
    set_mode(scratch.root().join("default"), 0o711);
    let before = scratch.tree();
    let error = scratch.dunnage().create(&id("web-1"), &specs::plain()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
    assert_eq!(scratch.tree(), before);
}

/// Runs the binary as a stranger who owns the directories.
struct AsStranger {
    scratch: Scratch,
    binary: PathBuf,
}

impl AsStranger {
    fn new() -> Self {
        let scratch = Scratch::new();
        // The build directory may be out of a stranger's reach.
        let binary = scratch.path().join("dunnage");
        fs::copy(binary::path(Build::Default), &binary).expect("copy the binary");
        let spec = scratch.path().join("spec");
        fs::create_dir(&spec).unwrap();
        for name in ["plain.json", "userns.json"] {
            fs::copy(specs::data(name), spec.join(name)).unwrap();
        }
        chown(scratch.path(), Some(STRANGER), Some(STRANGER)).unwrap();
        Self { scratch, binary }
    }

    fn run(&self, arguments: &[&str]) -> dunnage_tests::Outcome {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env("DUNNAGE_STATE", self.scratch.state())
            .env("DUNNAGE_ROOT", self.scratch.root())
            .current_dir(self.scratch.path())
            .uid(STRANGER)
            .gid(STRANGER);
        run(&mut command, [])
    }
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_bundles_without_remapping_work_as_any_user() {
    if !privileges::root("privileged_bundles_without_remapping_work_as_any_user") {
        return;
    }
    let stranger = AsStranger::new();
    let bundle = stranger.scratch.bundle("web-1");
    for closed in [None, Some("rootfs"), Some("rootfs/d"), Some("extra")] {
        stranger.run(&["create", "web-1", "--spec", "spec/plain.json"]).expect(0);
        assert_eq!(access(&bundle), (0o700, STRANGER, STRANGER));
        for directory in ["rootfs/d/e", "extra/d"] {
            fs::create_dir_all(bundle.join(directory)).unwrap();
        }
        for directory in ["rootfs/d/e", "rootfs/d", "extra/d", "extra"] {
            chown(bundle.join(directory), Some(STRANGER), Some(STRANGER)).unwrap();
        }
        // What a container has closed is still its owner's to remove.
        if let Some(closed) = closed {
            set_mode(bundle.join(closed), 0o000);
        }
        let outcome = stranger.run(&["delete", "web-1"]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "web-1\n"), "{closed:?}: {outcome:?}");
    }
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_stranger_cannot_give_bundles_away_and_reads_why() {
    if !privileges::root("privileged_a_stranger_cannot_give_bundles_away_and_reads_why") {
        return;
    }
    let stranger = AsStranger::new();
    let before = stranger.scratch.tree();
    let outcome = stranger.run(&["create", "web-1", "--spec", "spec/userns.json"]).expect(1);
    assert!(outcome.stderr.contains("CAP_CHOWN"), "{outcome:?}");
    assert!(outcome.stderr.contains("set-group"), "{outcome:?}");
    assert_eq!(stranger.scratch.tree(), before);
}
