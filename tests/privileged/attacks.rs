//! Links: whatever an attacker plants, nothing outside changes.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::PathBuf;

use dunnage::ErrorKind;
use dunnage_tests::scratch::{id, tree};
use dunnage_tests::{Scratch, privileges, specs};

/// What an attacker would like to see deleted or overwritten: it looks like a bundle, like a
/// namespace and like a container's root.
fn victim(scratch: &Scratch) -> PathBuf {
    let victim = scratch.path().join("victim");
    for directory in ["rootfs/d", "web-1/rootfs/d", "d"] {
        fs::create_dir_all(victim.join(directory)).unwrap();
        for file in 0..10 {
            fs::write(victim.join(directory).join(format!("file-{file}")), "precious").unwrap();
        }
    }
    for file in ["config.json", "address", "web-1/config.json", "file-0"] {
        fs::write(victim.join(file), "{}").unwrap();
    }
    victim
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_planted_links_are_never_followed() {
    if !privileges::root("privileged_planted_links_are_never_followed") {
        return;
    }
    for planted in ["state/default/web-1", "root/default/web-1", "state/default", "root/default"] {
        let scratch = Scratch::new();
        let victim = victim(&scratch);
        let before = tree(&victim);
        let link = scratch.path().join(planted);
        let mut directories = fs::DirBuilder::new();
        directories.recursive(true).mode(0o711).create(link.parent().unwrap()).unwrap();
        symlink(&victim, &link).unwrap();
        let with_link = scratch.tree();
        let dunnage = scratch.dunnage();
        let created = dunnage.create(&id("web-1"), &specs::plain()).unwrap_err();
        if planted == "state/default/web-1" {
            assert_eq!(created.kind(), ErrorKind::Exists, "{planted}: {created}");
        } else {
            assert!(created.to_string().contains(link.to_str().unwrap()), "{planted}: {created}");
        }
        assert_eq!(scratch.tree(), with_link, "{planted}");
        // There may be no bundle at all (then a work directory alone is looked at), but no link.
        if planted != "root/default" {
            let deleted = dunnage.delete(&id("web-1"), true).unwrap_err();
            assert!(deleted.to_string().contains(link.to_str().unwrap()), "{planted}: {deleted}");
        }
        if planted.starts_with("state") {
            dunnage.inspect(&id("web-1")).unwrap_err();
            dunnage.load(&id("web-1")).unwrap_err();
        }
        assert_eq!((tree(&victim), scratch.tree()), (before, with_link), "{planted}");
    }
}

/// What a container has left in its bundle is data: links go, what they lead to stays.
#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_links_in_a_bundle_are_removed_as_links() {
    if !privileges::root("privileged_links_in_a_bundle_are_removed_as_links") {
        return;
    }
    let scratch = Scratch::new();
    let victim = victim(&scratch);
    let dunnage = scratch.dunnage();
    for (step, replaced) in ["rootfs", "config.json", "address", "work"].into_iter().enumerate() {
        let web = id("web-1");
        dunnage.create(&web, &specs::plain()).unwrap();
        let bundle = scratch.bundle("web-1");
        let at = bundle.join(replaced);
        match replaced {
            "rootfs" => fs::remove_dir(&at).unwrap(),
            "config.json" => fs::remove_file(&at).unwrap(),
            _ => {}
        }
        let target = if step % 2 == 0 { victim.clone() } else { victim.join("file-0") };
        symlink(&target, &at).unwrap();
        symlink(&victim, scratch.work_dir("web-1").join("link")).unwrap();
        if replaced != "rootfs" {
            symlink(&victim, bundle.join("rootfs/link")).unwrap();
            fs::hard_link(victim.join("file-0"), bundle.join("rootfs/hard")).unwrap();
        }
        let before = tree(&victim);
        assert!(dunnage.delete(&web, false).unwrap().deleted, "{replaced}");
        assert_eq!(tree(&victim), before, "{replaced}");
        assert!(!bundle.exists() && !scratch.work_dir("web-1").exists(), "{replaced}");
    }
}
