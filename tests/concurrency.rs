//! Many threads and several processes at work on the same bundles.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use dunnage::{Builder, BundleId, Dunnage, ErrorKind, Limits, Scope, Spec};
use dunnage_tests::binary::{self, Build};
use dunnage_tests::watchdog::within;
use dunnage_tests::{Scratch, run, scratch, specs};
use rustix::fs::{FlockOperation, flock};

/// Longer than any of this takes on a busy machine.
const TEST_TIMEOUT: Duration = Duration::from_secs(500);

/// In memory, where there is such a place: this is about order, not about disks.
fn fast_scratch() -> Scratch {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { Scratch::new_in(memory) } else { Scratch::new() }
}

/// The state and root directories hold nothing but empty namespace directories.
#[track_caller]
fn assert_nothing_is_left(scratch: &Scratch) {
    let left: Vec<_> = scratch.tree().into_iter().filter(|line| line.matches('/').count() > 1).collect();
    assert_eq!(left, [""; 0]);
}

/// Creates a bundle; whether this call was the one that made it. Anything but "exists" is a failure.
fn create(dunnage: &Dunnage, id: &BundleId, spec: &Spec) -> bool {
    match dunnage.create(id, spec) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
            false
        }
    }
}

/// Deletes a bundle; whether this call was the one that did. No failure is expected at all.
fn delete(dunnage: &Dunnage, id: &BundleId) -> bool {
    let deletion = dunnage.delete(id, false).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(deletion.warnings, [""; 0]);
    deletion.deleted
}

/// All threads want all ids: each id is created once and deleted once in each round.
fn contend(threads: usize, ids: usize, rounds: u32, managers: &[Dunnage]) {
    let ids: Vec<_> = (0..ids).map(|number| scratch::id(&format!("web-{number}"))).collect();
    let created: Vec<_> = ids.iter().map(|_| AtomicU32::new(0)).collect();
    let deleted: Vec<_> = ids.iter().map(|_| AtomicU32::new(0)).collect();
    let phase = Barrier::new(threads);
    let spec = specs::text(r#"{"ociVersion":"1.0.0"}"#);
    thread::scope(|scope| {
        for number in 0..threads {
            let (ids, created, deleted, phase, spec) = (&ids, &created, &deleted, &phase, &spec);
            let dunnage = &managers[number % managers.len()];
            // Half of them go the same way, the others start somewhere else.
            let start = if number % 2 == 0 { 0 } else { number * ids.len() / threads };
            let order = move || (start..ids.len()).chain(0..start);
            scope.spawn(move || {
                for round in 1..=rounds {
                    for index in order() {
                        created[index].fetch_add(create(dunnage, &ids[index], spec).into(), Ordering::Relaxed);
                    }
                    phase.wait();
                    for index in order() {
                        assert_eq!(created[index].load(Ordering::Relaxed), round, "one winner per round");
                        deleted[index].fetch_add(delete(dunnage, &ids[index]).into(), Ordering::Relaxed);
                    }
                    phase.wait();
                    for index in order() {
                        assert_eq!(deleted[index].load(Ordering::Relaxed), round, "one winner per round");
                    }
                    phase.wait();
                }
            });
        }
    });
}

#[test]
fn of_64_threads_one_creates_and_one_deletes_each_bundle() {
    within(TEST_TIMEOUT, "64 threads, 1,000 ids, 20 rounds", || {
        let scratch = fast_scratch();
        contend(64, 1000, 20, &[scratch.dunnage()]);
        assert_nothing_is_left(&scratch);
    });
}

/// Managers of one process know nothing of each other, as if they were several processes.
#[test]
fn several_managers_of_the_same_directories_agree() {
    within(TEST_TIMEOUT, "several managers", || {
        let scratch = fast_scratch();
        let managers: Vec<_> = (0..4).map(|_| scratch.dunnage()).collect();
        contend(16, 100, 5, &managers);
        assert_nothing_is_left(&scratch);
    });
}

/// One manager runs the policy's code where it lies in the program, the others a copy: a manager
/// that comes and goes takes nothing from those that are at work.
#[test]
fn managers_that_come_and_go_leave_the_others_their_code() {
    within(TEST_TIMEOUT, "managers that come and go", || {
        let scratch = fast_scratch();
        let decide = |dunnage: &Dunnage| assert_eq!(dunnage.remapped_gid(&specs::plain()).unwrap(), 0);
        let (first, second) = (scratch.dunnage(), scratch.dunnage());
        let stopped = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stopped.load(Ordering::Relaxed) {
                    decide(&second);
                }
            });
            decide(&first);
            drop(first);
            for _ in 0..50 {
                let (third, fourth) = (scratch.dunnage(), scratch.dunnage());
                thread::scope(|scope| {
                    scope.spawn(|| decide(&third));
                    decide(&fourth);
                });
                drop(third);
                decide(&fourth);
            }
            stopped.store(true, Ordering::Relaxed);
        });
    });
}

/// Without phases: creates and deletes of the same ids run into each other at every step.
#[test]
fn creates_and_deletes_of_the_same_ids_run_into_each_other() {
    within(TEST_TIMEOUT, "creates against deletes", || {
        let scratch = fast_scratch();
        let dunnage = scratch.dunnage();
        let (created, deleted) = (AtomicU32::new(0), AtomicU32::new(0));
        let spec = specs::plain();
        thread::scope(|scope| {
            for number in 0..16_u32 {
                let (dunnage, created, deleted, spec) = (&dunnage, &created, &deleted, &spec);
                scope.spawn(move || {
                    for step in 0..500_u32 {
                        let id = scratch::id(&format!("web-{}", (number + step) % 3));
                        if (number + step / 3) % 2 == 0 {
                            created.fetch_add(create(dunnage, &id, spec).into(), Ordering::Relaxed);
                        } else {
                            deleted.fetch_add(delete(dunnage, &id).into(), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let rest = dunnage.list(Scope::All).unwrap();
        for listed in rest.iter() {
            assert!(listed.bundle.path().join("config.json").is_file() && listed.bundle.work_dir().is_dir());
            assert!(delete(&dunnage, listed.bundle.id()));
        }
        let (created, deleted) = (created.into_inner(), deleted.into_inner());
        assert_eq!(created, deleted + u32::try_from(rest.len()).unwrap(), "each bundle ended once");
        assert_nothing_is_left(&scratch);
    });
}

/// A reader sees a complete bundle, or none.
#[test]
fn nobody_ever_sees_half_a_bundle() {
    within(TEST_TIMEOUT, "looking on", || {
        let scratch = fast_scratch();
        let dunnage = scratch.dunnage();
        let done = AtomicBool::new(false);
        let spec = specs::plain();
        thread::scope(|scope| {
            for _ in 0..2 {
                let (dunnage, scratch, done) = (&dunnage, &scratch, &done);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        match dunnage.inspect(&scratch::id("web")) {
                            Ok(found) => assert_eq!(found.listed.mode, 0o700),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                        }
                        for listed in dunnage.list(Scope::All).unwrap().iter() {
                            assert_eq!(listed.bundle.id(), &scratch::id("web"));
                        }
                        // A directory of that name has everything in it from the first moment on. It
                        // is held open, so that a later bundle is not taken for it.
                        if let Ok(bundle) = File::open(scratch.bundle("web"))
                            && let Err(errno) = rustix::fs::statat(&bundle, "config.json", rustix::fs::AtFlags::empty())
                        {
                            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&bundle));
                            let now = fs::read_link(path).unwrap();
                            assert_ne!(now, scratch.bundle("web"), "{errno}");
                        }
                    }
                });
            }
            for _ in 0..2000 {
                assert!(create(&dunnage, &scratch::id("web"), &spec));
                assert!(delete(&dunnage, &scratch::id("web")));
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_nothing_is_left(&scratch);
    });
}

#[test]
fn of_several_processes_one_creates_and_one_deletes_each_bundle() {
    binary::path(Build::Default);
    within(TEST_TIMEOUT, "several processes", || {
        let scratch = fast_scratch();
        let ids: Vec<String> = (0..20).map(|number| format!("web-{number}")).collect();
        let spec = specs::data("plain.json");
        let spec = spec.to_str().unwrap();
        let wins = |arguments: &(dyn Fn() -> Vec<(i32, usize)> + Sync)| -> Vec<(i32, usize)> {
            thread::scope(|scope| {
                let workers: Vec<_> = (0..4).map(|_| scope.spawn(arguments)).collect();
                workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
            })
        };
        let made = wins(&|| {
            let create = |id: &String| scratch.run(["create", id, "--spec", spec]);
            ids.iter().map(|id| create(id).code.unwrap_or(-1)).map(|code| (code, 0)).collect()
        });
        assert_eq!(made.iter().filter(|(code, _)| *code == 0).count(), ids.len(), "{made:?}");
        assert!(made.iter().all(|(code, _)| [0, 4].contains(code)), "{made:?}");

        let gone = wins(&|| {
            let mut command = scratch.command(["delete", "-o", "json"]);
            let outcome = run(command.args(&ids), []);
            let deleted = outcome.json()["deleted"].as_array().map_or(0, Vec::len);
            vec![(outcome.code.unwrap_or(-1), deleted)]
        });
        assert!(gone.iter().all(|(code, _)| *code == 0), "{gone:?}");
        assert_eq!(gone.iter().map(|(_, deleted)| deleted).sum::<usize>(), ids.len(), "{gone:?}");
        assert_nothing_is_left(&scratch);
    });
}

/// A manager that runs few calls at a time.
fn narrow(builder: Builder, calls: u32) -> Dunnage {
    let mut limits = Limits::default();
    limits.concurrent_calls = calls;
    builder.limits(limits).build().expect("a manager")
}

/// A call that waits for a bundle must not hold what the call that it waits for needs to go on: a
/// bundle with an address on file takes two calls of the policy to delete.
#[test]
fn calls_that_wait_for_a_bundle_are_in_nobodys_way() {
    within(TEST_TIMEOUT, "calls in each other's way", || {
        let scratch = fast_scratch();
        let dunnage = narrow(scratch.builder(), 1);
        let id = scratch::id("web");
        let address = dunnage.shim_address(&id).unwrap();
        for _ in 0..10 {
            assert!(create(&dunnage, &id, &specs::plain()));
            fs::write(scratch.bundle("web").join("address"), &address).unwrap();
            // Something to remove, so that the others come while it goes on.
            for number in 0..200 {
                fs::create_dir_all(scratch.bundle("web").join(format!("rootfs/{number}/in"))).unwrap();
            }
            let wins = thread::scope(|scope| {
                let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| delete(&dunnage, &id))).collect();
                workers.into_iter().map(|worker| u32::from(worker.join().unwrap())).sum::<u32>()
            });
            assert_eq!(wins, 1);
        }
        assert_nothing_is_left(&scratch);
    });
}

/// Waiting for another call is not the policy's fault: it does not count against its time.
#[test]
fn waiting_for_a_bundle_is_not_the_policys_time() {
    within(TEST_TIMEOUT, "waiting for a lock", || {
        let scratch = Scratch::new();
        let mut limits = Limits::default();
        limits.time = Duration::from_millis(200);
        let dunnage = scratch.builder().limits(limits).build().unwrap();
        let id = scratch::id("web");
        for what in ["delete", "create"] {
            if what == "delete" {
                assert!(create(&dunnage, &id, &specs::plain()));
            } else {
                fs::create_dir(scratch.work_dir("web")).unwrap();
            }
            let somebody = File::open(scratch.work_dir("web")).unwrap();
            flock(&somebody, FlockOperation::NonBlockingLockExclusive).unwrap();
            thread::scope(|scope| {
                let waiting = scope.spawn(|| match what {
                    "delete" => delete(&dunnage, &id),
                    _ => create(&dunnage, &id, &specs::plain()),
                });
                // Five times what the policy has.
                thread::sleep(Duration::from_secs(1));
                assert!(!waiting.is_finished(), "{what} waits for the lock");
                flock(&somebody, FlockOperation::Unlock).unwrap();
                assert!(waiting.join().unwrap(), "{what}");
            });
        }
    });
}

/// A call that never ends does not block others for ever: exit code 6, kind "locked".
#[test]
fn a_bundle_that_somebody_never_lets_go_of_is_reported_as_locked() {
    within(TEST_TIMEOUT, "a lock that is never given back", || {
        let scratch = Scratch::new();
        let dunnage = scratch.dunnage();
        assert!(create(&dunnage, &scratch::id("web"), &specs::plain()));
        let before = scratch.tree();
        let somebody = File::open(scratch.work_dir("web")).unwrap();
        flock(&somebody, FlockOperation::NonBlockingLockExclusive).unwrap();
        thread::scope(|scope| {
            let binary = scope.spawn(|| scratch.run(["delete", "web"]));
            let error = dunnage.delete(&scratch::id("web"), true).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
            let outcome = binary.join().unwrap().expect(6);
            assert!(outcome.stderr.contains(scratch.work_dir("web").to_str().unwrap()), "{outcome:?}");
            // Other bundles are not affected.
            assert!(create(&dunnage, &scratch::id("other"), &specs::plain()));
            assert!(delete(&dunnage, &scratch::id("other")));
        });
        assert_eq!(scratch.tree(), before);
    });
}
