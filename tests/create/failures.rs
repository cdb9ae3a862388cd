//! A create that fails leaves nothing: no bundle, no work directory, no staging directory, and none
//! of the directories that it made on the way.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use dunnage::{Error, ErrorKind, Limits, Spec, Step};
use dunnage_tests::{Scratch, mounts, privileges, run, scratch, specs};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

/// A create of `web` that must fail and leave no trace.
fn fail(scratch: &Scratch, dunnage: &dunnage::Dunnage, spec: &Spec) -> Error {
    let before = scratch.tree();
    let error = dunnage.create(&scratch::id("web"), spec).expect_err("a failure");
    assert_eq!(scratch.tree(), before, "{error}");
    error
}

/// D8: to `chown` 4294967295 means "leave it", and the original then opens the bundle to a group
/// that it never changed.
#[test]
fn d8_the_group_that_is_no_group_is_refused() {
    let scratch = Scratch::new();
    let error = fail(&scratch, &scratch.dunnage(), &specs::mapping(0, u32::MAX));
    assert_eq!(error.kind(), ErrorKind::InvalidSpec);
    assert!(error.to_string().contains("4294967295"), "{error}");
    assert!(error.to_string().contains("linux.gidMappings[0].hostID"), "{error}");
}

/// D8: only as the answer it is refused, and the one below it is a group like any other.
#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_d8_the_largest_group_is_one() {
    if !privileges::root("foreign groups") {
        return;
    }
    let scratch = Scratch::new();
    let created = scratch.dunnage().create(&scratch::id("web"), &specs::mapping(0, u32::MAX - 1)).unwrap();
    assert_eq!(created.remapped_gid, u32::MAX - 1);
    let unused = r#"{"linux":{"gidMappings":[{"containerID":1,"hostID":4294967295},{"hostID":7}]}}"#;
    assert_eq!(scratch.dunnage().remapped_gid(&specs::text(unused)).unwrap(), 7);
}

/// D16: what Go and others read differently makes no bundle.
#[test]
fn d16_specs_that_can_be_read_in_two_ways_are_refused() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    for spec in [
        r#"{"LINUX":{"gidMappings":[{"hostID":7}]}}"#,
        r#"{"linux":{},"linux":{"gidMappings":[{"hostID":7}]}}"#,
        r#"{"linux":{"gidMappings":[{"hostID":7,"hostid":8}]}}"#,
        r#"{"linux":{"gidMapping\u017f":[{"hostID":7}]}}"#,
    ] {
        assert_eq!(fail(&scratch, &dunnage, &specs::text(spec)).kind(), ErrorKind::InvalidSpec, "{spec}");
    }
}

#[test]
fn a_group_outside_the_allowed_ranges_leaves_nothing() {
    let scratch = Scratch::new();
    let dunnage = scratch.builder().groups("100000-165535".parse().unwrap()).build().unwrap();
    let error = fail(&scratch, &dunnage, &specs::mapping(0, 99_999));
    assert_eq!(error.kind(), ErrorKind::GroupNotAllowed);
    assert!(error.to_string().contains("100000-165535") && error.to_string().contains("99999"), "{error}");
}

#[test]
fn a_spec_that_is_too_large_leaves_nothing() {
    let scratch = Scratch::new();
    let mut limits = Limits::default();
    limits.spec_size = 10;
    let dunnage = scratch.builder().limits(limits).build().unwrap();
    assert_eq!(fail(&scratch, &dunnage, &specs::text("[1,2,3,4,5]")).kind(), ErrorKind::SpecTooLarge);
    dunnage.create(&scratch::id("web"), &specs::text("{\"a\":1234}")).unwrap();
}

#[test]
fn a_file_in_the_place_of_the_work_directory_leaves_nothing_else() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.root().join("default")).unwrap();
    for directory in [scratch.root(), scratch.root().join("default")] {
        fs::set_permissions(directory, Permissions::from_mode(0o711)).unwrap();
    }
    fs::write(scratch.work_dir("web"), "data").unwrap();
    let error = fail(&scratch, &scratch.dunnage(), &specs::plain());
    assert_eq!((error.kind(), error.step()), (ErrorKind::Untrusted, Step::OpenWorkDir), "{error}");
    assert_eq!(error.path(), Some(&*scratch.work_dir("web")));
}

/// Only root can give a bundle to a foreign group; others are told so.
#[test]
fn ordinary_users_are_told_that_remapping_takes_root() {
    let scratch = Scratch::new();
    let spec = specs::data("userns.json");
    let mut command = scratch.command(["create", "web", "--spec", spec.to_str().unwrap()]);
    privileges::as_ordinary_user(&scratch, &mut command);
    let outcome = run(&mut command, []).expect(1);
    assert!(outcome.stderr.contains("set-group") && outcome.stderr.contains("root"), "{outcome:?}");
    assert_eq!(scratch.tree(), [""; 0]);
}

/// A file system of a certain size over the scratch directory.
struct Tmpfs<'a>(&'a Scratch);

impl<'a> Tmpfs<'a> {
    fn mount(scratch: &'a Scratch, options: &str) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(scratch.path());
        assert!(mount.status().expect("mount").success());
        Self(scratch)
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        unmount(self.0.path(), UnmountFlags::empty()).expect("unmount");
    }
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_full_disk_leaves_nothing() {
    if !privileges::root("a file system that can be filled") {
        return;
    }
    mounts::private(|| {
        let scratch = Scratch::new();
        let _tmpfs = Tmpfs::mount(&scratch, "size=64k,mode=0700");
        let dunnage = scratch.dunnage();
        let error = fail(&scratch, &dunnage, &specs::text(&format!(r#"{{"x":"{}"}}"#, "y".repeat(100_000))));
        assert_eq!((error.kind(), error.step()), (ErrorKind::Filesystem, Step::WriteSpec), "{error}");
        assert_eq!(error.errno(), Some(Errno::NOSPC.raw_os_error()));
        dunnage.create(&scratch::id("web"), &specs::plain()).unwrap();
    });
}

/// Each number of inodes stops the call at another step.
#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_no_inodes_left_at_any_step_leaves_nothing() {
    if !privileges::root("a file system without inodes") {
        return;
    }
    mounts::private(|| {
        let mut steps = Vec::new();
        for inodes in 1.. {
            let scratch = Scratch::new();
            let _tmpfs = Tmpfs::mount(&scratch, &format!("nr_inodes={inodes},mode=0700"));
            let before = scratch.tree();
            match scratch.dunnage().create(&scratch::id("web"), &specs::plain()) {
                Ok(_) => break,
                Err(error) => {
                    assert_eq!(error.errno(), Some(Errno::NOSPC.raw_os_error()), "{error}");
                    assert_eq!(scratch.tree(), before, "{error}");
                    steps.push(error.step());
                }
            }
        }
        steps.dedup();
        for step in [Step::OpenState, Step::OpenWorkDir, Step::Stage, Step::CreateRootfs, Step::WriteSpec] {
            assert!(steps.contains(&step), "{step} was not tried: {steps:?}");
        }
    });
}
