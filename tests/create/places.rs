//! Where bundles go: state, root and namespace directories, reached directly or by links.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use dunnage::{BundleId, ErrorKind, Scope};
use dunnage_tests::{Scratch, privileges, scratch, specs};

use crate::tree::expected;

fn mode(path: &Path) -> u32 {
    path.metadata().expect("metadata").permissions().mode() & 0o7777
}

fn make(path: &Path, mode: u32) {
    fs::create_dir_all(path).expect("a directory");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("set a mode");
}

#[test]
fn missing_directories_are_made_0711_all_the_way() {
    let scratch = Scratch::new();
    let state = scratch.path().join("a/b/state");
    let dunnage = scratch.builder().state(&state).build().unwrap();
    dunnage.create(&BundleId::new("moby", "web"), &specs::plain()).unwrap();
    for made in ["a", "a/b", "a/b/state", "a/b/state/moby", "root", "root/moby", "root/moby/web"] {
        assert_eq!(mode(&scratch.path().join(made)), 0o711, "{made}");
    }
}

/// CVE-2024-25621: directories that exist and are too open are narrowed, not only new ones made
/// well.
#[test]
fn namespace_directories_that_are_too_open_are_narrowed() {
    for wide in [0o755, 0o777, 0o1777, 0o2755] {
        let scratch = Scratch::new();
        make(&scratch.state(), 0o711);
        make(&scratch.root(), 0o711);
        make(&scratch.state().join("default"), wide);
        make(&scratch.root().join("default"), wide);
        scratch.dunnage().create(&scratch::id("web"), &specs::plain()).unwrap();
        assert_eq!(scratch.tree(), expected(&specs::plain(), 0, privileges::own_ids()), "{wide:o}");
    }
}

/// A closed directory was closed on purpose.
#[test]
fn namespace_directories_are_never_widened() {
    let scratch = Scratch::new();
    for directory in [scratch.state(), scratch.root()] {
        make(&directory, 0o700);
        make(&directory.join("default"), 0o700);
    }
    scratch.dunnage().create(&scratch::id("web"), &specs::plain()).unwrap();
    for directory in [scratch.state(), scratch.root()] {
        assert_eq!((mode(&directory), mode(&directory.join("default"))), (0o700, 0o700));
    }
}

#[test]
fn links_of_ours_on_the_way_to_the_directories_are_fine() {
    let scratch = Scratch::new();
    make(&scratch.path().join("real/deep"), 0o711);
    symlink("real", scratch.path().join("relative")).unwrap();
    symlink(scratch.path().join("relative/deep"), scratch.path().join("absolute")).unwrap();
    symlink("../relative/./deep", scratch.path().join("real/back")).unwrap();
    let dunnage = scratch
        .builder()
        .state(scratch.path().join("absolute/state"))
        .root(scratch.path().join("real/back/root"))
        .build()
        .unwrap();
    dunnage.create(&scratch::id("web"), &specs::plain()).unwrap();
    let real = scratch.path().join("real/deep");
    assert!(real.join("state/default/web/config.json").is_file());
    assert!(real.join("root/default/web").is_dir());
    assert!(dunnage.delete(&scratch::id("web"), false).unwrap().deleted);
    assert!(!real.join("state/default/web").exists() && !real.join("root/default/web").exists());
}

/// Below the directories that the operator names, links are never followed.
#[test]
fn a_link_in_the_place_of_a_namespace_is_refused() {
    for (base, other) in [("state", "root"), ("root", "state")] {
        let scratch = Scratch::new();
        make(&scratch.path().join(base), 0o711);
        make(&scratch.path().join(other), 0o711);
        make(&scratch.path().join("victim"), 0o711);
        symlink("../victim", scratch.path().join(base).join("default")).unwrap();
        let before = scratch.tree();
        let error = scratch.dunnage().create(&scratch::id("web"), &specs::plain()).unwrap_err();
        assert!(error.to_string().contains(&format!("{base}/default")), "{error}");
        assert_eq!(scratch.tree(), before, "{error}");
    }
}

#[test]
fn several_managers_share_their_directories() {
    let scratch = Scratch::new();
    let (one, other) = (scratch.dunnage(), scratch.dunnage());
    one.create(&scratch::id("a"), &specs::plain()).unwrap();
    other.create(&scratch::id("b"), &specs::plain()).unwrap();
    assert_eq!(other.create(&scratch::id("a"), &specs::plain()).unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(one.list(Scope::All).unwrap().len(), 2);
    assert!(other.delete(&scratch::id("a"), false).unwrap().deleted);
    assert!(!one.delete(&scratch::id("a"), false).unwrap().deleted);
    one.create(&scratch::id("a"), &specs::plain()).unwrap();
}

/// A daemon lives longer than its directories: `/run` may be cleaned under it.
#[test]
fn directories_that_were_removed_meanwhile_are_made_again() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    for round in 0..3 {
        dunnage.create(&scratch::id("web"), &specs::plain()).unwrap();
        assert_eq!(scratch.tree(), expected(&specs::plain(), 0, privileges::own_ids()), "round {round}");
        fs::remove_dir_all(scratch.state()).unwrap();
        fs::remove_dir_all(scratch.root()).unwrap();
        assert!(dunnage.list(Scope::All).unwrap().is_empty());
        assert_eq!(dunnage.inspect(&scratch::id("web")).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(!dunnage.delete(&scratch::id("web"), false).unwrap().deleted);
        assert_eq!(scratch.tree(), [""; 0]);
    }
    // Another process's new directory at the same path is the one that counts.
    dunnage.create(&scratch::id("web"), &specs::plain()).unwrap();
    fs::rename(scratch.state(), scratch.path().join("old")).unwrap();
    make(&scratch.state(), 0o711);
    dunnage.create(&scratch::id("web"), &specs::plain()).unwrap();
    assert!(scratch.bundle("web").join("config.json").is_file());
}
