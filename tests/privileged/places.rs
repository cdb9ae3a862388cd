//! File systems that are full, read-only, or made of layers: a named error, and nothing left.

use std::fs;

use dunnage::{ErrorKind, Spec};
use dunnage_tests::scratch::id;
use dunnage_tests::{Scratch, mounts, privileges, run, specs};

const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

/// Every file or directory in turn is the one that does not fit any more.
#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_full_file_system_takes_everything_back() {
    if !privileges::root("privileged_a_full_file_system_takes_everything_back") {
        return;
    }
    let scratch = Scratch::new();
    let (mut failed, mut created) = (0, 0);
    for inodes in 1..=16 {
        mounts::private(|| {
            let tiny = scratch.path().join("tiny");
            let options = std::ffi::CString::new(format!("nr_inodes={inodes},mode=0711")).unwrap();
            mounts::tmpfs_with(&tiny, &options);
            let dunnage = dunnage::Dunnage::builder().state(tiny.join("s")).root(tiny.join("r")).build().unwrap();
            let before = scratch.tree();
            match dunnage.create(&id("web-1"), &specs::plain()) {
                Ok(_) => {
                    created += 1;
                    assert!(dunnage.delete(&id("web-1"), false).unwrap().deleted);
                }
                Err(error) => {
                    failed += 1;
                    assert_eq!(error.errno(), Some(ENOSPC), "{inodes}: {error}");
                    assert!(error.path().is_some_and(|path| path.starts_with(&tiny)), "{inodes}: {error}");
                    assert_eq!(scratch.tree(), before, "{inodes}: {error}");
                }
            }
        });
    }
    // tmpfs's own root, then: s, r, two namespaces, work directory, staging, rootfs, config.json.
    assert!(failed >= 8 && created > 0, "{failed} failed, {created} created");
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_spec_that_does_not_fit_leaves_nothing() {
    if !privileges::root("privileged_a_spec_that_does_not_fit_leaves_nothing") {
        return;
    }
    let scratch = Scratch::new();
    mounts::private(|| {
        mounts::tmpfs_with(scratch.state(), c"size=64k,mode=0711");
        let padding = " ".repeat(200 << 10);
        let big = Spec::new(format!("{{{padding}}}").into_bytes());
        let before = scratch.tree();
        let error = scratch.dunnage().create(&id("web-1"), &big).unwrap_err();
        assert_eq!((error.errno(), error.step()), (Some(ENOSPC), dunnage::Step::WriteSpec), "{error}");
        assert!(error.to_string().contains("config.json"), "{error}");
        assert_eq!(scratch.tree(), before);

        let file = scratch.path().join("big.json");
        fs::write(&file, big.as_bytes()).unwrap();
        let before = scratch.tree();
        let outcome = run(scratch.command(["create", "web-1", "--spec"]).arg(&file), []).expect(1);
        assert!(outcome.stderr.contains("No space left"), "{outcome:?}");
        assert_eq!(scratch.tree(), before);

        // Deleting needs no room.
        let dunnage = scratch.dunnage();
        dunnage.create(&id("web-2"), &specs::plain()).unwrap();
        let filler = scratch.bundle("web-2").join("rootfs/filler");
        fs::write(&filler, vec![0; 1 << 20]).unwrap_err();
        assert!(dunnage.delete(&id("web-2"), false).unwrap().deleted);
    });
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_read_only_file_system_is_named() {
    if !privileges::root("privileged_a_read_only_file_system_is_named") {
        return;
    }
    let scratch = Scratch::new();
    mounts::private(|| {
        mounts::tmpfs_with(scratch.state(), c"mode=0711");
        mounts::tmpfs_with(scratch.root(), c"mode=0711");
        let dunnage = scratch.dunnage();
        dunnage.create(&id("web-1"), &specs::plain()).unwrap();
        mounts::set_read_only(scratch.state(), true);
        let before = scratch.tree();
        for error in [
            dunnage.create(&id("web-2"), &specs::plain()).unwrap_err(),
            dunnage.delete(&id("web-1"), false).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::Filesystem, Some(EROFS)), "{error}");
            assert_eq!(scratch.tree(), before, "{error}");
        }
        // Looking needs no writing.
        assert_eq!(dunnage.list(dunnage::Scope::All).unwrap().len(), 1);
        dunnage.inspect(&id("web-1")).unwrap();

        // Only the work directory cannot be removed: said so, and made good by the next delete.
        mounts::set_read_only(scratch.state(), false);
        mounts::set_read_only(scratch.root(), true);
        let error = dunnage.create(&id("web-2"), &specs::plain()).unwrap_err();
        assert_eq!(error.errno(), Some(EROFS), "{error}");
        assert!(!scratch.bundle("web-2").exists());
        let error = dunnage.delete(&id("web-1"), false).unwrap_err();
        assert!(error.to_string().contains(scratch.work_dir("web-1").to_str().unwrap()), "{error}");
        mounts::set_read_only(scratch.root(), false);
        dunnage.delete(&id("web-1"), false).unwrap();
        assert!(!scratch.bundle("web-1").exists() && !scratch.work_dir("web-1").exists());
    });
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_an_overlay_holds_bundles_in_its_upper_layer() {
    if !privileges::root("privileged_an_overlay_holds_bundles_in_its_upper_layer") {
        return;
    }
    let scratch = Scratch::new();
    mounts::private(|| {
        let base = scratch.path().join("base");
        mounts::tmpfs_with(&base, c"mode=0711");
        let merged = scratch.path().join("merged");
        let (lower, upper, work) = (base.join("lower"), base.join("upper"), base.join("work"));
        let at = |place: &std::path::Path| {
            dunnage::Dunnage::builder().state(place.join("state")).root(place.join("root")).build().unwrap()
        };
        // One bundle is part of the image.
        fs::create_dir(&lower).unwrap();
        at(&lower).create(&id("in-image"), &specs::plain()).unwrap();
        mounts::overlay(&lower, &upper, &work, &merged);
        let dunnage = at(&merged);
        for _ in 0..3 {
            dunnage.create(&id("web-1"), &specs::userns()).unwrap();
            dunnage.inspect(&id("web-1")).unwrap();
            assert!(dunnage.delete(&id("web-1"), false).unwrap().deleted);
        }
        // The kernel does not rename a directory of a lower layer: said so, and nothing is lost.
        let before = scratch.tree();
        match dunnage.delete(&id("in-image"), false) {
            Ok(deletion) => assert!(deletion.deleted),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                assert!(error.to_string().contains("overlayfs"), "{error}");
                assert_eq!(scratch.tree(), before);
            }
        }
    });
}
