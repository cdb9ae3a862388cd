//! What an attacker planted where a bundle is, or is about to be.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use dunnage_tests::{Scratch, privileges};

use super::{good, refuse};

/// A directory outside with a file in it, to see that nothing reaches it.
fn victim(scratch: &Scratch) -> std::path::PathBuf {
    let victim = scratch.path().join("victim");
    fs::create_dir(&victim).expect("a directory");
    fs::write(victim.join("file"), "data").expect("a file");
    victim
}

fn untouched(victim: &Path) {
    assert_eq!(fs::read(victim.join("file")).expect("the file"), b"data");
    assert_eq!(fs::read_dir(victim).expect("the directory").count(), 1);
}

/// A `config.json` that waits in the bundle's place: nothing is written through it.
#[test]
fn a_config_json_link_that_was_planted_is_never_written_through() {
    let scratch = Scratch::new();
    let victim = victim(&scratch);
    scratch.run(["create", "first", "--spec", &good()]).expect(0);
    let bundle = scratch.bundle("web");
    fs::create_dir(&bundle).unwrap();
    symlink(victim.join("file"), bundle.join("config.json")).unwrap();
    symlink(&victim, bundle.join("rootfs")).unwrap();
    refuse(&scratch, &mut scratch.command(["create", "web", "--spec", &good()]), &[], 4, &["already exists"]);
    untouched(&victim);

    assert_eq!(scratch.run(["delete", "web"]).expect(0).stdout, "web\n");
    untouched(&victim);
    scratch.run(["create", "web", "--spec", &good()]).expect(0);
    assert_eq!(fs::read(bundle.join("config.json")).unwrap(), fs::read(good()).unwrap());
    untouched(&victim);
}

#[test]
fn a_link_in_the_place_of_a_bundle_is_never_followed() {
    for place in ["state/default/web", "root/default/web"] {
        let scratch = Scratch::new();
        let victim = victim(&scratch);
        scratch.run(["create", "first", "--spec", &good()]).expect(0);
        symlink(&victim, scratch.path().join(place)).unwrap();
        let create = (if place.starts_with("state") { 4 } else { 1 }, scratch.path().join(place));
        let spec = good();
        let mut command = scratch.command(["create", "web", "--spec", &spec]);
        refuse(&scratch, &mut command, &[], create.0, &[create.1.to_str().unwrap()]);
        for line in [&["delete", "web"][..], &["delete", "web", "--force"]] {
            refuse(&scratch, &mut scratch.command(line), &[], 1, &["links are never followed"]);
        }
        if place.starts_with("state") {
            for line in [&["inspect", "web"][..], &["shim", "connect-address", "web", "--allow-legacy"]] {
                refuse(&scratch, &mut scratch.command(line), &[], 1, &[place]);
            }
            // A listing shows bundles.
            assert!(!scratch.run(["list"]).expect(0).stdout.contains("web"));
        }
        untouched(&victim);
    }
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_bundle_of_somebody_else_is_refused() {
    if !privileges::root("bundles of others") {
        return;
    }
    let scratch = Scratch::new();
    scratch.run(["create", "web", "--spec", &good()]).expect(0);
    let bundle = scratch.bundle("web");
    chown(&bundle, Some(4711), Some(4711)).unwrap();
    let words = [bundle.to_str().unwrap(), "belongs to user 4711"];
    let lines: [&[&str]; 4] =
        [&["delete", "web"], &["delete", "web", "--force"], &["inspect", "web"], &["shim", "connect-address", "web"]];
    for line in lines {
        refuse(&scratch, &mut scratch.command(line), &[], 1, &words);
    }
    refuse(&scratch, &mut scratch.command(["create", "web", "--spec", &good()]), &[], 4, &["already exists"]);
    // Giving it back to its owner solves the problem.
    chown(&bundle, Some(0), Some(0)).unwrap();
    scratch.run(["delete", "web"]).expect(0);
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_work_directory_of_somebody_else_is_refused() {
    if !privileges::root("work directories of others") {
        return;
    }
    let scratch = Scratch::new();
    scratch.run(["create", "web", "--spec", &good()]).expect(0);
    scratch.run(["create", "new", "--spec", &good()]).expect(0);
    fs::remove_dir_all(scratch.bundle("new")).unwrap();
    for id in ["web", "new"] {
        chown(scratch.work_dir(id), Some(4711), Some(4711)).unwrap();
    }
    let (web, new) = (scratch.work_dir("web"), scratch.work_dir("new"));
    let spec = good();
    refuse(&scratch, &mut scratch.command(["delete", "web"]), &[], 1, &[web.to_str().unwrap(), "user 4711"]);
    let mut create = scratch.command(["create", "new", "--spec", &spec]);
    refuse(&scratch, &mut create, &[], 1, &[new.to_str().unwrap(), "user 4711"]);
}
