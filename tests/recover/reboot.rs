//! After a reboot: the state directory is gone (`/run` is a tmpfs) and the root directory is not,
//! or both are still there and nothing in them runs any more.

use std::fs;
use std::path::Path;
use std::time::Duration;

use dunnage::RecoverOptions;
use dunnage_tests::{Scratch, mounts, privileges};

use super::{create, found, recover};

/// Where the kernel reports which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Does something in another boot.
fn in_boot(scratch: &Scratch, number: u32, work: impl FnOnce()) {
    let file = scratch.path().join("boot");
    fs::write(&file, format!("{number:08x}-0000-4000-8000-000000000000\n")).unwrap();
    mounts::bind(&file, Path::new(BOOT_ID));
    work();
    mounts::umount(BOOT_ID);
    fs::remove_file(file).unwrap();
}

/// Tries a reboot with the recovery first, and with a `create` before it.
fn each_way(test: &str, reboot: impl Fn(&Scratch, bool) + Sync) {
    if privileges::root(test) {
        for with_create in [false, true] {
            let scratch = Scratch::new();
            mounts::private(|| reboot(&scratch, with_create));
        }
    }
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_work_directories_of_an_earlier_boot_go() {
    each_way("privileged_work_directories_of_an_earlier_boot_go", |scratch, with_create| {
        in_boot(scratch, 1, || {
            create(scratch, "web-1");
            // A state that is gone while the machine is up is more likely a mistyped one.
            fs::rename(scratch.state(), scratch.path().join("old")).unwrap();
            recover(scratch, &[]).expect(1);
            assert!(scratch.work_dir("web-1").exists());
        });
        in_boot(scratch, 2, || {
            if with_create {
                create(scratch, "web-2");
            }
            let outcome = recover(scratch, &[]).expect(0);
            assert_eq!(found(&outcome), ["work-dir removed web-1"]);
            assert_eq!(scratch.state().exists(), with_create);
            assert_eq!(scratch.work_dir("web-2").exists(), with_create);
            create(scratch, "web-1");
            assert_eq!(found(&recover(scratch, &[]).expect(0)), [] as [&str; 0]);
        });
    });
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_bundles_of_an_earlier_boot_go() {
    each_way("privileged_bundles_of_an_earlier_boot_go", |scratch, with_create| {
        in_boot(scratch, 1, || {
            create(scratch, "web-1");
            create(scratch, "web-2");
            assert_eq!(found(&recover(scratch, &[]).expect(0)), [] as [&str; 0]);
        });
        in_boot(scratch, 2, || {
            if with_create {
                create(scratch, "web-3");
                // A bundle that was deleted and made again is of this boot.
                scratch.run(["delete", "web-2"]).expect(0);
                create(scratch, "web-2");
            }
            let both = ["bundle would-remove web-1", "bundle would-remove web-2"];
            let expected = if with_create { &both[..1] } else { &both };
            assert_eq!(found(&recover(scratch, &["--dry-run"]).expect(0)), expected);
            let expected: Vec<_> = expected.iter().map(|line| line.replace("would-remove", "removed")).collect();
            assert_eq!(found(&recover(scratch, &[]).expect(0)), expected);
            assert!(!scratch.bundle("web-1").exists() && !scratch.work_dir("web-1").exists());
            assert_eq!(scratch.bundle("web-2").exists(), with_create);
            assert_eq!(scratch.bundle("web-3").exists(), with_create);
            assert_eq!(found(&recover(scratch, &[]).expect(0)), [] as [&str; 0]);
            assert!(!scratch.state().join(".dunnage/earlier.jsonl").exists());
        });
    });
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_an_earlier_bundle_that_is_in_use_stays_and_is_remembered() {
    if !privileges::root("privileged_an_earlier_bundle_that_is_in_use_stays_and_is_remembered") {
        return;
    }
    let scratch = Scratch::new();
    mounts::private(|| {
        in_boot(&scratch, 1, || drop(create(&scratch, "web-1")));
        // Bundles that there was no time for are remembered too.
        in_boot(&scratch, 2, || {
            let mut options = RecoverOptions::default();
            options.timeout = Duration::ZERO;
            assert!(scratch.dunnage().recover(&options).unwrap().is_undecided());
        });
        in_boot(&scratch, 2, || {
            mounts::tmpfs(scratch.bundle("web-1").join("extra"));
            assert_eq!(found(&recover(&scratch, &[]).expect(1)), ["bundle undecided web-1"]);
            mounts::umount(scratch.bundle("web-1").join("extra"));
            assert_eq!(found(&recover(&scratch, &[]).expect(0)), ["bundle removed web-1"]);
        });
    });
}
