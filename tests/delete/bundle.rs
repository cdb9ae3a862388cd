//! Bundles, whole ones and what is left of them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use dunnage::{BundleId, ErrorKind};
use dunnage_tests::{Scratch, scratch, specs};

#[test]
fn the_bundle_and_its_work_directory_go_and_nothing_else() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    dunnage.create(&scratch::id("kept"), &specs::plain()).unwrap();
    let before = scratch.tree();
    dunnage.create(&scratch::id("web"), &specs::plain()).unwrap();
    fs::write(scratch.work_dir("web").join("shim.stderr.log"), "data").unwrap();
    let deletion = dunnage.delete(&scratch::id("web"), false).unwrap();
    assert!(deletion.deleted);
    assert_eq!(deletion.warnings, [""; 0]);
    assert_eq!(scratch.tree(), before);
}

#[test]
fn deleting_again_succeeds_and_reports_nothing() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    assert!(!dunnage.delete(&scratch::id("web"), false).unwrap().deleted, "nothing is there at all");
    assert_eq!(scratch.tree(), [""; 0], "looking makes nothing");
    for _ in 0..3 {
        dunnage.create(&scratch::id("web"), &specs::plain()).unwrap();
        let reports = [false, true, false].map(|force| dunnage.delete(&scratch::id("web"), force).unwrap().deleted);
        assert_eq!(reports, [true, false, false]);
    }
    assert!(!dunnage.delete(&BundleId::new("other", "web"), false).unwrap().deleted, "no such namespace");
}

/// containerd #11071: a record that is missing made a deletion fail.
#[test]
fn bundles_that_miss_any_of_their_files_are_deleted() {
    for missing in [&["config.json"][..], &["rootfs"], &["config.json", "rootfs"]] {
        for work_dir in [true, false] {
            let scratch = Scratch::new();
            let dunnage = scratch.dunnage();
            dunnage.create(&scratch::id("web"), &specs::plain()).unwrap();
            for name in missing {
                let path = scratch.bundle("web").join(name);
                if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) }.unwrap();
            }
            if !work_dir {
                fs::remove_dir(scratch.work_dir("web")).unwrap();
            }
            let deletion = dunnage.delete(&scratch::id("web"), false).unwrap();
            assert!(deletion.deleted, "{missing:?}, work directory {work_dir}");
            assert!(!scratch.bundle("web").exists() && !scratch.work_dir("web").exists());
        }
    }
}

#[test]
fn a_bundle_whose_root_directory_is_gone_is_deleted() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    dunnage.create(&scratch::id("web"), &specs::plain()).unwrap();
    fs::remove_dir_all(scratch.root()).unwrap();
    assert!(dunnage.delete(&scratch::id("web"), false).unwrap().deleted);
    assert!(!scratch.bundle("web").exists() && !scratch.root().exists());
}

/// A crash in the middle of a create or a delete leaves a work directory without a bundle.
#[test]
fn the_work_directory_of_a_bundle_that_is_not_there_goes_too() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    dunnage.create(&scratch::id("web"), &specs::plain()).unwrap();
    fs::write(scratch.work_dir("web").join("log"), "data").unwrap();
    fs::remove_dir_all(scratch.bundle("web")).unwrap();
    assert!(!dunnage.delete(&scratch::id("web"), false).unwrap().deleted);
    assert!(!scratch.work_dir("web").exists());
    assert!(scratch.root().join("default").is_dir());
}

/// D5: the original renames to `.<id>`, so what a crash leaves there makes every later delete of
/// that id fail.
#[test]
fn d5_leftovers_of_a_crash_are_in_nobodys_way() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    dunnage.create(&scratch::id("first"), &specs::plain()).unwrap();
    for base in [scratch.state(), scratch.root()] {
        for leftover in [".web", ".web.0123456789abcdef", ".web.1"] {
            fs::create_dir_all(base.join("default").join(leftover).join("rootfs/deep")).unwrap();
        }
    }
    let before = scratch.tree();
    for _ in 0..2 {
        dunnage.create(&scratch::id("web"), &specs::plain()).unwrap();
        assert!(dunnage.delete(&scratch::id("web"), false).unwrap().deleted);
        // A recovery finds out whose they are.
        assert_eq!(scratch.tree(), before);
    }
}

/// Anything but a directory was never a bundle of ours, and a link leads anywhere.
#[test]
fn what_is_no_directory_is_left_alone() {
    type Plant = fn(&Path) -> std::io::Result<()>;
    let plants: [(&str, Plant); 3] = [
        ("file", |path| fs::write(path, "data")),
        ("dangling link", |path| symlink("nowhere", path)),
        ("link to a bundle", |path| symlink("first", path)),
    ];
    for (what, plant) in plants {
        for place in ["state/default/web", "root/default/web"] {
            let scratch = Scratch::new();
            let dunnage = scratch.dunnage();
            dunnage.create(&scratch::id("first"), &specs::plain()).unwrap();
            plant(&scratch.path().join(place)).unwrap();
            let before = scratch.tree();
            let error = dunnage.delete(&scratch::id("web"), true).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Untrusted, "{what} at {place}: {error}");
            assert!(error.to_string().contains("links are never followed"), "{error}");
            assert_eq!(scratch.tree(), before, "{what} at {place}");
        }
    }
}
