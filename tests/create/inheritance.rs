//! What a new directory inherits from its parent (a group, a default ACL) is taken away again.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use dunnage_tests::{Scratch, privileges, scratch, specs};
use rustix::fs::{XattrFlags, getxattr, setxattr};
use rustix::io::Errno;

use crate::tree::expected;

/// The default ACL `u::rwx,u:4711:rwx,g::rwx,m::rwx,o::rwx` as the kernel takes it (version 2;
/// tag, permissions, id).
fn default_acl() -> Vec<u8> {
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, id) in [(0x01_u16, u32::MAX), (0x02, 4711), (0x04, u32::MAX), (0x10, u32::MAX), (0x20, u32::MAX)] {
        acl.extend(tag.to_le_bytes());
        acl.extend(7_u16.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    acl
}

fn has_acl(path: &Path) -> bool {
    ["system.posix_acl_default", "system.posix_acl_access"].iter().any(|name| {
        match getxattr(path, *name, &mut [0_u8; 256]) {
            Ok(_) => true,
            Err(Errno::NODATA | Errno::NOTSUP) => false,
            Err(errno) => panic!("{}: {errno}", path.display()),
        }
    })
}

/// A default ACL gives named users access to everything below, whatever mode is asked for.
#[test]
fn default_acls_of_a_parent_are_not_inherited() {
    let scratch = Scratch::new();
    for directory in [scratch.state(), scratch.root()] {
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o711)).unwrap();
        match setxattr(&directory, "system.posix_acl_default", &default_acl(), XattrFlags::empty()) {
            Err(Errno::NOTSUP) => return eprintln!("skipped: no ACLs on this file system"),
            result => result.unwrap(),
        }
        assert!(has_acl(&directory));
    }
    scratch.dunnage().create(&scratch::id("web"), &specs::plain()).unwrap();
    assert_eq!(scratch.tree(), expected(&specs::plain(), 0, privileges::own_ids()));
    let bundle = scratch.bundle("web");
    for path in [&bundle, &bundle.join("rootfs"), &bundle.join("config.json"), &scratch.work_dir("web")] {
        assert!(!has_acl(path), "{}", path.display());
    }
    for path in [scratch.state().join("default"), scratch.root().join("default")] {
        assert!(!has_acl(&path), "{}", path.display());
    }
}

/// A set-group-id parent hands its group and its bit on to new directories.
#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_set_group_id_parents_hand_nothing_on() {
    if !privileges::root("a parent with a foreign group") {
        return;
    }
    for (spec, gid) in [(specs::plain(), 0), (specs::userns(), 100_000)] {
        let scratch = Scratch::new();
        for directory in [scratch.state(), scratch.root()] {
            fs::create_dir(&directory).unwrap();
            chown(&directory, None, Some(4711)).unwrap();
            fs::set_permissions(&directory, Permissions::from_mode(0o2711)).unwrap();
        }
        scratch.dunnage().create(&scratch::id("web"), &spec).unwrap();
        let mut expected = expected(&spec, gid, (0, 0));
        expected[0] = "root d2711 0:4711 0".to_owned();
        expected[3] = "state d2711 0:4711 0".to_owned();
        assert_eq!(scratch.tree(), expected);
    }
}
