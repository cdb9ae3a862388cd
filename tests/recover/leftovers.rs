//! What is removed, what stays, and why.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dunnage::{ErrorKind, RecoverOptions, Spec};
use dunnage_tests::scratch::{id, tree};
use dunnage_tests::{Scratch, mounts, privileges, specs};
use rustix::fs::{FlockOperation, flock};

use super::{create, found, recover};

/// What a staging directory or a bundle in the trash is called.
const HIDDEN: &str = ".web-2.0123456789abcdef";

/// A bundle, and leftovers of each kind around it.
fn littered() -> Scratch {
    let scratch = Scratch::new();
    create(&scratch, "web-1");
    let state = scratch.state().join("default");
    fs::create_dir_all(state.join(HIDDEN).join("rootfs/a/b")).unwrap();
    fs::write(state.join(HIDDEN).join("config.json"), "{}").unwrap();
    fs::create_dir_all(scratch.work_dir("web-2")).unwrap();
    fs::write(scratch.work_dir("web-2").join("log"), "lines").unwrap();
    fs::create_dir_all(state.join(".web-3/rootfs")).unwrap();
    fs::create_dir_all(scratch.root().join("default/.web-3")).unwrap();
    fs::write(scratch.state().join(".dunnage/.pair.json.0123456789abcdef"), "{").unwrap();
    scratch
}

#[test]
fn leftovers_go_and_bundles_stay() {
    let scratch = littered();
    let before = scratch.tree();
    let would = ["hidden would-remove .web-2.0123456789abcdef", "v1 kept .web-3", "v1 kept .web-3"];
    let dry = recover(&scratch, &["--dry-run"]).expect(0);
    assert_eq!(found(&dry), [&would[..], &["work-dir would-remove web-2"]].concat());
    assert_eq!(scratch.tree(), before);
    let done = recover(&scratch, &[]).expect(0);
    let v1 = "v1 kept .web-3";
    assert_eq!(found(&done), [&format!("hidden removed {HIDDEN}"), v1, v1, "work-dir removed web-2"]);
    assert_eq!(done.json()["counts"]["work-dir"]["removed"], 1);
    // Those of the original only when that is asked for (defect D5).
    let adopted = recover(&scratch, &["--adopt-v1"]).expect(0);
    assert_eq!(found(&adopted), ["v1 removed .web-3", "v1 removed .web-3"]);
    assert_eq!(found(&recover(&scratch, &[]).expect(0)), [] as [&str; 0]);
    assert_eq!(scratch.run(["recover"]).expect(0).stdout, "nothing to recover\n");
    let left: Vec<_> = tree(scratch.path()).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    let expected = [
        "root",
        "root/.dunnage",
        "root/.dunnage/pair.json",
        "root/default",
        "root/default/web-1",
        "state",
        "state/.dunnage",
        "state/.dunnage/pair.json",
        "state/default",
        "state/default/web-1",
        "state/default/web-1/config.json",
        "state/default/web-1/rootfs",
    ];
    assert_eq!(left, expected);
}

/// The very first creation was killed while it wrote which directories belong together.
#[test]
fn a_first_record_that_was_cut_short_goes() {
    let scratch = Scratch::new();
    let half = [scratch.state(), scratch.root()].map(|base| {
        fs::create_dir(&base).unwrap();
        let records = base.join(".dunnage");
        fs::create_dir(&records).unwrap();
        for directory in [&base, &records] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
        }
        let half = records.join(".pair.json.0123456789abcdef");
        fs::write(&half, "{").unwrap();
        half
    });
    recover(&scratch, &["--dry-run"]).expect(0);
    assert!(half.iter().all(|path| path.exists()));
    recover(&scratch, &[]).expect(0);
    assert!(!half.iter().any(|path| path.exists()));
    create(&scratch, "web-1");
}

#[test]
fn what_somebody_is_at_work_on_stays() {
    let scratch = littered();
    let held = [scratch.state().join("default").join(HIDDEN), scratch.work_dir("web-2")];
    let locks = held.map(|path| {
        let directory = fs::File::open(path).unwrap();
        flock(&directory, FlockOperation::LockExclusive).unwrap();
        directory
    });
    let outcome = recover(&scratch, &[]).expect(0);
    let expected = [&format!("hidden kept {HIDDEN}"), "v1 kept .web-3", "v1 kept .web-3", "work-dir kept web-2"];
    assert_eq!(found(&outcome), expected);
    drop(locks);
    assert!(found(&recover(&scratch, &[]).expect(0)).contains(&"work-dir removed web-2".to_owned()));
}

#[test]
fn entries_that_are_no_leftovers_are_left_alone() {
    let scratch = Scratch::new();
    create(&scratch, "web-1");
    let elsewhere = scratch.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("file"), "data").unwrap();
    for base in [scratch.state(), scratch.root()] {
        fs::create_dir(base.join("not a namespace")).unwrap();
        fs::create_dir(base.join("not a namespace/.web.0123456789abcdef")).unwrap();
        fs::write(base.join("default/file"), "data").unwrap();
        fs::create_dir(base.join("default/not an id")).unwrap();
        fs::create_dir(base.join("default/.not an id")).unwrap();
        symlink(&elsewhere, base.join("default/link")).unwrap();
    }
    let before = scratch.tree();
    assert_eq!(found(&recover(&scratch, &["--adopt-v1"]).expect(0)), [] as [&str; 0]);
    assert_eq!(scratch.tree(), before);
    // A link where a leftover would be is reported, and not followed.
    symlink(&elsewhere, scratch.state().join("default").join(HIDDEN)).unwrap();
    assert_eq!(found(&recover(&scratch, &[]).expect(1)), [format!("hidden undecided {HIDDEN}")]);
    assert_eq!(fs::read(elsewhere.join("file")).unwrap(), b"data");
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_nothing_behind_a_mount_is_lost() {
    if !privileges::root("privileged_nothing_behind_a_mount_is_lost") {
        return;
    }
    let scratch = littered();
    let data = scratch.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "data").unwrap();
    mounts::private(|| {
        let places = [scratch.state().join("default").join(HIDDEN).join("rootfs/a"), scratch.work_dir("web-2")];
        places.iter().for_each(|at| mounts::bind(&data, at));
        let outcome = recover(&scratch, &[]).expect(1);
        assert!(found(&outcome).contains(&format!("hidden undecided {HIDDEN}")), "{outcome:?}");
        assert!(found(&outcome).contains(&"work-dir undecided web-2".to_owned()), "{outcome:?}");
        places.iter().for_each(mounts::umount);
        recover(&scratch, &[]).expect(0);
    });
    assert_eq!(fs::read(data.join("file")).unwrap(), b"data");
    assert!(!scratch.work_dir("web-2").exists());
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_broken_namespace_does_not_keep_the_others() {
    if !privileges::root("privileged_a_broken_namespace_does_not_keep_the_others") {
        return;
    }
    let scratch = littered();
    for (name, mode, owner) in [("open", 0o777, 0), ("foreign", 0o700, 12_345)] {
        let namespace = scratch.root().join(name);
        fs::create_dir(&namespace).unwrap();
        fs::create_dir(namespace.join("orphan")).unwrap();
        fs::set_permissions(&namespace, fs::Permissions::from_mode(mode)).unwrap();
        chown(&namespace, Some(owner), Some(owner)).unwrap();
    }
    let outcome = recover(&scratch, &[]).expect(1);
    let found = found(&outcome);
    for expected in ["namespace undecided open", "namespace undecided foreign", "work-dir removed web-2"] {
        assert!(found.contains(&expected.to_owned()), "{expected}: {found:?}");
    }
    assert!(scratch.root().join("open/orphan").exists() && scratch.root().join("foreign/orphan").exists());
}

#[test]
fn what_there_is_no_time_for_is_undecided() {
    let scratch = littered();
    let mut options = RecoverOptions::default();
    options.timeout = std::time::Duration::ZERO;
    let before = scratch.tree();
    let recovery = scratch.dunnage().recover(&options).unwrap();
    assert!(recovery.is_undecided());
    assert_eq!(scratch.tree().len(), before.len() - 1, "but for a record that was never finished");
}

#[test]
fn many_at_once_beside_creates_and_deletes() {
    let scratch = Scratch::new();
    create(&scratch, "keeper");
    let (dunnage, over) = (scratch.dunnage(), AtomicBool::new(false));
    let spec = Spec::read_file(specs::data("plain.json"), u64::MAX).unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let recovery = dunnage.recover(&RecoverOptions::default()).unwrap();
                    assert!(!recovery.is_undecided(), "{recovery:?}");
                }
            });
        }
        let workers: Vec<_> = (0..4)
            .map(|number| {
                let (dunnage, spec) = (&dunnage, &spec);
                scope.spawn(move || {
                    for round in 0..100 {
                        let id = id(&format!("web-{}", (number + round) % 6));
                        match dunnage.create(&id, spec) {
                            Ok(_) => {}
                            Err(error) => assert_eq!(error.kind(), ErrorKind::Exists, "{error}"),
                        }
                        dunnage.delete(&id, false).unwrap();
                    }
                })
            })
            .collect();
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        over.store(true, Ordering::Relaxed);
        results.into_iter().for_each(|result| result.unwrap());
    });
    assert!(!dunnage.recover(&RecoverOptions::default()).unwrap().is_undecided());
    assert_eq!(fs::read_dir(scratch.state().join("default")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(scratch.root().join("default")).unwrap().count(), 1);
}
