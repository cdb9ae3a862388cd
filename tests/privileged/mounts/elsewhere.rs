//! Mounts where they must not be: in the bundle but not at or under `rootfs`, and in the work
//! directory.

use std::fs;
use std::path::Path;

use dunnage::ErrorKind;
use dunnage_tests::scratch::id;
use dunnage_tests::{Scratch, mounts, run};

use super::{Place, Way, assert_deleted, create, in_private};

/// Mounts in one way in one place, and insists that the bundle is refused as it is.
fn refuse(scratch: &Scratch, place: &str, way: &str, mount: impl Fn(&Path), unmount: impl Fn(&Path)) {
    let (dunnage, bundle) = create(scratch, "web-1");
    mounts::tmpfs(bundle.join("rootfs"));
    let at = scratch.path().join(place);
    mount(&at);
    let (before, mounted) = (scratch.tree(), mounts::below(scratch.path()));
    let error = dunnage.delete(&id("web-1"), true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mounted, "{way} at {place}: {error}");
    assert!(error.to_string().contains(at.to_str().unwrap()), "{way} at {place}: {error}");
    // Not even `rootfs` has been unmounted.
    assert_eq!((scratch.tree(), mounts::below(scratch.path())), (before, mounted), "{way} at {place}");
    run(&mut scratch.command(["delete", "web-1"]), []).expect(6);
    unmount(&at);
    if place.ends_with("address") {
        fs::remove_file(&at).unwrap();
    }
    assert_deleted(scratch, &dunnage, "web-1");
}

#[test]
fn privileged_mounts_elsewhere_are_refused_before_anything_moves() {
    in_private("privileged_mounts_elsewhere_are_refused_before_anything_moves", |Place { scratch, precious }| {
        let base = scratch.path().join("base");
        mounts::tmpfs(&base);
        let ways: [Way<'_>; 4] = [
            ("bind", &|at| mounts::bind(precious, at)),
            ("tmpfs", &|at| mounts::tmpfs(at)),
            ("overlay", &|at| mounts::overlay(precious, &base.join("u"), &base.join("w"), at)),
            ("nested", &|at| {
                mounts::tmpfs(at);
                fs::create_dir(at.join("in")).unwrap();
                mounts::bind(precious, at.join("in"));
            }),
        ];
        for place in [
            "state/default/web-1",
            "state/default/web-1/extra",
            "state/default/web-1/extra/deep/mount",
            "state/default/web-1/rootfs2",
            "root/default/web-1",
            "root/default/web-1/logs",
            "root/default/web-1/logs/deep/mount",
        ] {
            for (way, mount) in ways {
                let mount = |at: &Path| {
                    fs::create_dir_all(at).unwrap();
                    mount(at);
                };
                let unmount = |at: &Path| {
                    if way == "nested" {
                        mounts::umount(at.join("in"));
                    }
                    mounts::umount(at);
                };
                refuse(scratch, place, way, mount, unmount);
            }
        }
    });
}

/// A file can be a mount point too.
#[test]
fn privileged_mounts_on_files_elsewhere_are_refused_before_anything_moves() {
    in_private(
        "privileged_mounts_on_files_elsewhere_are_refused_before_anything_moves",
        |Place { scratch, precious }| {
            for place in
                ["state/default/web-1/config.json", "state/default/web-1/address", "root/default/web-1/shim.stdout.log"]
            {
                let mount = |at: &Path| {
                    fs::OpenOptions::new().create(true).append(true).open(at).unwrap();
                    mounts::bind(precious.join("data"), at);
                };
                refuse(scratch, place, "bind", mount, |at| mounts::umount(at));
            }
        },
    );
}

/// A work directory without a bundle is an orphan, which a delete removes, but not through a mount.
#[test]
fn privileged_an_orphan_work_directory_with_a_mount_stays() {
    in_private("privileged_an_orphan_work_directory_with_a_mount_stays", |Place { scratch, precious }| {
        let (dunnage, bundle) = create(scratch, "web-1");
        fs::remove_dir_all(bundle).unwrap();
        let at = scratch.work_dir("web-1").join("logs");
        fs::create_dir(&at).unwrap();
        mounts::bind(precious, &at);
        let before = scratch.tree();
        assert_eq!(dunnage.delete(&id("web-1"), false).unwrap_err().kind(), ErrorKind::Mounted);
        assert_eq!(scratch.tree(), before);
        mounts::umount(&at);
        assert!(!dunnage.delete(&id("web-1"), false).unwrap().deleted);
        assert!(!scratch.work_dir("web-1").exists());
    });
}

/// The same directory can be seen at two places, with something mounted at one of them. What is
/// mounted through the other place may be found late, but is not deleted.
#[test]
fn privileged_what_is_mounted_through_another_path_survives() {
    in_private("privileged_what_is_mounted_through_another_path_survives", |Place { scratch, precious }| {
        let (dunnage, _) = create(scratch, "web-1");
        let twin = scratch.path().join("twin");
        fs::create_dir(&twin).unwrap();
        mounts::bind(scratch.state(), &twin);
        mounts::bind(precious, twin.join("default/web-1/rootfs"));
        let error = dunnage.delete(&id("web-1"), false).unwrap_err();
        assert!(error.to_string().contains("rootfs"), "{error}");
    });
}
