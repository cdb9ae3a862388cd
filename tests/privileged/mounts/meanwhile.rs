//! Mounts and deletions that are made at the same time.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dunnage_tests::scratch::id;
use dunnage_tests::watchdog::within;
use dunnage_tests::{Scratch, fingerprint, mounts, specs};
use rustix::mount::{UnmountFlags, mount_bind, unmount};

use super::{Place, create, in_private};

/// Of many callers one unmounts and deletes, the others find nothing left to do.
#[test]
fn privileged_many_callers_delete_a_mounted_bundle_once() {
    in_private("privileged_many_callers_delete_a_mounted_bundle_once", |Place { scratch, .. }| {
        for _ in 0..10 {
            let (_, bundle) = create(scratch, "web-1");
            mounts::tmpfs(bundle.join("rootfs"));
            // Processes, since a thread would not see the namespace of this one.
            let children: Vec<_> = (0..4)
                .map(|_| scratch.command(["delete", "web-1"]).stdout(Stdio::piped()).spawn().expect("start"))
                .collect();
            let outputs: Vec<_> =
                children.into_iter().map(|child| child.wait_with_output().expect("the output")).collect();
            assert!(outputs.iter().all(|output| output.status.success()), "{outputs:?}");
            assert_eq!(outputs.iter().filter(|output| output.stdout == b"web-1\n").count(), 1, "{outputs:?}");
        }
    });
}

/// Mounts what is precious in and around a bundle, again and again, until it is told to stop.
fn mount_until(stop: &AtomicBool, Place { scratch, precious }: &Place) -> u64 {
    let places = [
        scratch.bundle("web-1").join("rootfs"),
        scratch.bundle("web-1").join("rootfs/etc"),
        scratch.bundle("web-1").join("extra"),
        scratch.work_dir("web-1").join("logs"),
    ];
    let mut mounted = 0;
    while !stop.load(Ordering::Relaxed) {
        for at in &places {
            // It fails while there is no bundle.
            let _ = fs::create_dir(at);
            if mount_bind(precious, at).is_ok() {
                mounted += 1;
                if mounted % 4 != 0 {
                    let _ = unmount(at, UnmountFlags::NOFOLLOW);
                }
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    mounted
}

/// Unmounts what is there, also in what a deletion had to leave behind. What comes meanwhile is in
/// the way of what it lies on, and goes the next time.
fn unmount_all(scratch: &Scratch) {
    for base in [scratch.state(), scratch.root()] {
        for line in mounts::below(base).iter().rev() {
            let _ = unmount(line.split(' ').nth(4).expect("a mount point"), UnmountFlags::NOFOLLOW);
        }
    }
}

/// Another process mounts while a bundle is removed, after the look for mounts: not a byte is lost.
#[test]
fn privileged_what_is_mounted_meanwhile_survives() {
    in_private("privileged_what_is_mounted_meanwhile_survives", |place| {
        let Place { scratch, precious } = place;
        let before = fingerprint::of(precious);
        let (stop, dunnage) = (AtomicBool::new(false), scratch.dunnage());
        let mut outcomes = BTreeMap::<_, u64>::new();
        let mounted = within(Duration::from_secs(400), "deletions beside mounts", || {
            std::thread::scope(|scope| {
                // A thread sees the mount namespace of the one that starts it.
                let attacker = scope.spawn(|| mount_until(&stop, place));
                let mut rounds = 0;
                while rounds < 150 && fingerprint::of(precious) == before {
                    rounds += 1;
                    let _ = dunnage.create(&id("web-1"), &specs::plain());
                    let outcome = dunnage.delete(&id("web-1"), true);
                    let kind = outcome.map_or_else(|error| error.kind().as_str(), |_| "done");
                    *outcomes.entry(kind).or_default() += 1;
                    if kind == "mounted" {
                        unmount_all(scratch);
                    }
                }
                stop.store(true, Ordering::Relaxed);
                attacker.join().expect("the attacker")
            })
        });
        println!("{mounted} mounts meanwhile; {outcomes:?}");
        assert_eq!(fingerprint::of(precious), before);
        assert!(mounted > 20 && outcomes.contains_key("done"), "{mounted}: {outcomes:?}");
        for base in [scratch.state(), scratch.root()] {
            while !mounts::below(&base).is_empty() {
                unmount_all(scratch);
            }
        }
        let _ = dunnage.delete(&id("web-1"), true);
        dunnage.create(&id("web-2"), &specs::plain()).unwrap();
        assert!(dunnage.delete(&id("web-2"), false).unwrap().deleted);
    });
}
