//! `bundle_test.go` of containerd's Linux runtime v1, case by case.

use std::os::unix::fs::MetadataExt as _;

use dunnage::Spec;
use dunnage_tests::{Scratch, privileges, scratch, specs};

/// `TestNewBundle`, case "no userns": the bundle has mode 0700 and our own group, which is 0 for
/// root.
#[test]
fn test_new_bundle_without_user_namespace() {
    let scratch = Scratch::new();
    // What Go makes of `oci.Spec{}`.
    let created = scratch.dunnage().create(&scratch::id("new-bundle-0"), &specs::text(r#"{"ociVersion":""}"#)).unwrap();
    assert_eq!(created.remapped_gid, 0);
    let found = created.bundle.path().metadata().unwrap();
    assert_eq!((found.mode() & 0o7777, found.gid()), (0o700, privileges::own_ids().1));
}

/// `TestNewBundle`, case "userns": GID 0 is mapped to 4200, so the bundle has mode 0710 and group
/// 4200.
#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_test_new_bundle_with_user_namespace() {
    if !privileges::root("TestNewBundle with a user namespace") {
        return;
    }
    let scratch = Scratch::new();
    let spec = r#"{"ociVersion":"","linux":{"gidMappings":[{"containerID":0,"hostID":4200,"size":0}]}}"#;
    let created = scratch.dunnage().create(&scratch::id("new-bundle-1"), &specs::text(spec)).unwrap();
    assert_eq!(created.remapped_gid, 4200);
    let found = created.bundle.path().metadata().unwrap();
    assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o710, 0, 4200));
}

fn remapped(spec: &Spec) -> u32 {
    Scratch::new().dunnage().remapped_gid(spec).unwrap()
}

/// `TestRemappedGID`, all of its cases.
#[test]
fn test_remapped_gid() {
    assert_eq!(remapped(&specs::text("{}")), 0, "an empty spec");
    assert_eq!(remapped(&specs::text(r#"{"linux":{}}"#)), 0, "empty linux");
    assert_eq!(remapped(&specs::text(r#"{"linux":{"gidMappings":[]}}"#)), 0, "empty mappings");
    assert_eq!(remapped(&specs::mapping(0, 1000)), 1000, "container id 0");
    assert_eq!(remapped(&specs::mapping(100, 1000)), 0, "another container id");
}

/// Specs that containerd wrote (`reference/specs`).
#[test]
fn real_specs_are_read_as_containerd_reads_them() {
    for (file, gid) in [("plain.json", 0), ("userns.json", 100_000), ("seccomp.json", 100_000)] {
        assert_eq!(remapped(&specs::file(file)), gid, "{file}");
    }
}

/// `loadBundle` takes a bundle as it is, wherever it lies.
#[test]
fn load_bundle_takes_what_is_there() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    let id = scratch::id("web");
    let created = dunnage.create(&id, &specs::plain()).unwrap();
    let before = scratch.tree();
    let loaded = dunnage.load(&id).unwrap();
    assert_eq!(loaded, created.bundle);
    assert_eq!((loaded.path(), loaded.work_dir()), (&*scratch.bundle("web"), &*scratch.work_dir("web")));
    let elsewhere = dunnage.load_unchecked(&id, "/somewhere/bundle", "/somewhere/work");
    assert_eq!(
        (elsewhere.path().to_str(), elsewhere.work_dir().to_str()),
        (Some("/somewhere/bundle"), Some("/somewhere/work"))
    );
    assert_eq!(scratch.tree(), before);
}
