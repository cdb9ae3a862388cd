//! A process that is killed at any instant loses nothing (rule 8 of the design): the bundle is
//! there, complete, with its work directory, or it is not there, and the same id can be used again
//! without any recovery (defect D5).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use dunnage_tests::watchdog::within;
use dunnage_tests::{Scratch, mounts, privileges, run, specs, strace};

/// Every kind of system call that creating and deleting make.
const CALLS: [&str; 20] = [
    "mkdirat",
    "openat2",
    "openat",
    "fchown",
    "fchmod",
    "renameat2",
    "unlinkat",
    "write",
    "statx",
    "flock",
    "close",
    "getdents64",
    "flistxattr",
    "fcntl",
    "lseek",
    "fsync",
    "readlink",
    "readlinkat",
    "clone3",
    "exit_group",
];

/// More than any of these calls is made.
const MOST: usize = 300;

fn spec() -> &'static str {
    // Giving bundles away takes root, and makes a call more to be killed at.
    if rustix::process::geteuid().is_root() { "userns.json" } else { "plain.json" }
}

fn create(scratch: &Scratch) -> Command {
    let mut command = scratch.command(["create", "web-1", "--spec"]);
    command.arg(specs::data(spec()));
    command
}

/// A bundle with things in it, so that deleting takes a while.
fn create_filled(scratch: &Scratch) {
    run(&mut create(scratch), []).expect(0);
    for directory in ["rootfs/a/b", "rootfs/c", "extra"] {
        fs::create_dir_all(scratch.bundle("web-1").join(directory)).unwrap();
        fs::write(scratch.bundle("web-1").join(directory).join("file"), "data").unwrap();
    }
    fs::write(scratch.bundle("web-1").join("address"), "unix:///run/nowhere").unwrap();
    fs::write(scratch.work_dir("web-1").join("log"), "data").unwrap();
}

/// The names in a directory; none if it is missing.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// All or nothing, and hidden leftovers at most. Says whether the bundle is there.
#[track_caller]
fn assert_sound(scratch: &Scratch, what: &str, filled: bool) -> bool {
    let (bundle, work_dir) = (scratch.bundle("web-1"), scratch.work_dir("web-1"));
    for base in [scratch.state(), scratch.root()] {
        assert!(
            names(&base).iter().all(|name| name == "default" || name == ".dunnage"),
            "{what}: {:?}",
            scratch.tree()
        );
    }
    for name in names(&scratch.state().join("default")) {
        assert!(name == "web-1" || name.starts_with(".web-1."), "{what}: {name}");
    }
    for name in names(&scratch.root().join("default")) {
        assert_eq!(name, "web-1", "{what}");
    }
    if !bundle.exists() {
        return false;
    }
    let sizes = |line: &String| line.starts_with("state/default/web-1") || line.starts_with("root/default/web-1");
    let tree: Vec<_> = scratch.tree().into_iter().filter(sizes).collect();
    assert!(work_dir.is_dir(), "{what}: a bundle without its work directory: {tree:?}");
    let config = fs::read(bundle.join("config.json")).unwrap_or_else(|error| panic!("{what}: {error}: {tree:?}"));
    assert_eq!(config, fs::read(specs::data(spec())).unwrap(), "{what}");
    assert!(bundle.join("rootfs").is_dir(), "{what}: {tree:?}");
    let (bundle_mode, config_mode) =
        if spec() == "userns.json" { ("d0710 0:100000", "-0640 0:100000") } else { ("d0700", "-0600") };
    let has = |name: &str, access: &str| tree.iter().any(|line| line.starts_with(&format!("{name} {access}")));
    assert!(has("state/default/web-1", bundle_mode), "{what}: {tree:?}");
    assert!(has("state/default/web-1/config.json", config_mode), "{what}: {tree:?}");
    assert!(has("state/default/web-1/rootfs", "d0711"), "{what}: {tree:?}");
    assert!(has("root/default/web-1", "d0711"), "{what}: {tree:?}");
    if filled {
        for file in ["rootfs/a/b/file", "rootfs/c/file", "extra/file"] {
            assert_eq!(fs::read(bundle.join(file)).unwrap(), b"data", "{what}: {file}");
        }
        assert!(work_dir.join("log").exists(), "{what}");
    }
    true
}

/// The id can be used again, whatever is left.
#[track_caller]
fn assert_usable(scratch: &Scratch, what: &str, there: bool) {
    let listed = run(&mut scratch.command(["list", "-o", "json"]), []).expect(0).json();
    assert_eq!(listed.as_array().unwrap().len(), usize::from(there), "{what}: {listed}");
    let again = run(&mut create(scratch), []);
    assert_eq!(again.code, Some(if there { 4 } else { 0 }), "{what}: {again:?}");
    assert!(assert_sound(scratch, what, false), "{what}");
    let deleted = run(&mut scratch.command(["delete", "web-1"]), []);
    assert_eq!((deleted.code, deleted.stdout.as_str()), (Some(0), "web-1\n"), "{what}: {deleted:?}");
    assert!(!assert_sound(scratch, what, false), "{what}");
    assert!(!scratch.work_dir("web-1").exists(), "{what}");
}

/// Kills a command at its Nth call of every kind, for every N until it comes through. Returns how
/// often the bundle was there afterwards, and how often not.
fn kill_everywhere(
    prepare: impl Fn(&Scratch),
    command: impl Fn(&Scratch) -> Command,
    filled: bool,
    usable: impl Fn(&Scratch, &str, bool),
) -> (usize, usize) {
    let (mut there, mut gone) = (0, 0);
    for call in CALLS {
        for nth in 1..=MOST {
            assert_ne!(nth, MOST, "{call} is made endlessly");
            let scratch = Scratch::new();
            prepare(&scratch);
            let inject = format!("--inject={call}:signal=KILL:when={nth}");
            let options = ["-o", "/dev/null", &format!("--trace={call}"), &inject];
            let outcome = run(&mut strace::traced(&command(&scratch), options), []);
            if outcome.code == Some(0) {
                break;
            }
            // A shell would say 137; anything else is a failure of the command.
            assert!(matches!(outcome.code, None | Some(137)), "{call} {nth}: {outcome:?}");
            let what = format!("killed at {call} number {nth}");
            let is_there = assert_sound(&scratch, &what, filled);
            if is_there {
                there += 1
            } else {
                gone += 1
            }
            usable(&scratch, &what, is_there);
        }
    }
    (there, gone)
}

#[test]
#[cfg_attr(not(has_strace), ignore = "needs strace")]
fn a_create_that_is_killed_makes_a_bundle_or_none() {
    if !strace::present("a_create_that_is_killed_makes_a_bundle_or_none") {
        return;
    }
    within(Duration::from_secs(900), "killing create", || {
        let (there, gone) = kill_everywhere(|_| {}, create, false, assert_usable);
        assert!(there > 0 && gone > 50, "{there} {gone}");
    });
}

#[test]
#[cfg_attr(not(has_strace), ignore = "needs strace")]
fn a_durable_create_that_is_killed_makes_a_bundle_or_none() {
    if !strace::present("a_durable_create_that_is_killed_makes_a_bundle_or_none") {
        return;
    }
    let command = |scratch: &Scratch| {
        let mut command = create(scratch);
        command.arg("--durable");
        command
    };
    // The namespaces are there already, and a leftover of an earlier crash.
    let prepare = |scratch: &Scratch| {
        create_filled(scratch);
        run(&mut scratch.command(["delete", "web-1"]), []).expect(0);
        fs::create_dir_all(scratch.state().join("default/.web-1.0123456789abcdef/rootfs")).unwrap();
        fs::create_dir(scratch.work_dir("web-1")).unwrap();
        fs::set_permissions(scratch.work_dir("web-1"), fs::Permissions::from_mode(0o711)).unwrap();
    };
    within(Duration::from_secs(900), "killing a durable create", || {
        let (there, gone) = kill_everywhere(prepare, command, false, assert_usable);
        assert!(there > 0 && gone > 50, "{there} {gone}");
    });
}

#[test]
#[cfg_attr(not(has_strace), ignore = "needs strace")]
fn a_delete_that_is_killed_deletes_all_or_nothing() {
    if !strace::present("a_delete_that_is_killed_deletes_all_or_nothing") {
        return;
    }
    let delete = |scratch: &Scratch| scratch.command(["delete", "web-1"]);
    within(Duration::from_secs(900), "killing delete", || {
        let (there, gone) = kill_everywhere(create_filled, delete, true, assert_usable);
        assert!(there > 30 && gone > 10, "{there} {gone}");
    });
}

/// The next delete finishes what a killed one began.
#[test]
#[cfg_attr(not(has_strace), ignore = "needs strace")]
fn a_delete_after_one_that_was_killed_comes_to_its_end() {
    if !strace::present("a_delete_after_one_that_was_killed_comes_to_its_end") {
        return;
    }
    let delete = |scratch: &Scratch| scratch.command(["delete", "web-1"]);
    let usable = |scratch: &Scratch, what: &str, there: bool| {
        let deleted = run(&mut delete(scratch), []).expect(0);
        assert_eq!(deleted.stdout, if there { "web-1\n" } else { "" }, "{what}");
        assert!(!scratch.bundle("web-1").exists() && !scratch.work_dir("web-1").exists(), "{what}");
        run(&mut create(scratch), []).expect(0);
    };
    within(Duration::from_secs(900), "killing delete", || {
        let (there, gone) = kill_everywhere(create_filled, delete, true, usable);
        assert!(there > 30 && gone > 10, "{there} {gone}");
    });
}

/// Killed at any moment, again and again, with what earlier crashes have left.
#[test]
fn crashes_pile_up_and_do_no_harm() {
    let scratch = Scratch::new();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: u64| {
        // Xorshift: the instants are spread, and the same in every run.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    within(Duration::from_secs(600), "crashing", || {
        for round in 0..400 {
            let mut command = if next(2) == 0 { create(&scratch) } else { scratch.command(["delete", "web-1"]) };
            let mut child =
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start");
            std::thread::sleep(Duration::from_micros(next(12_000)));
            child.kill().expect("kill");
            child.wait().expect("wait");
            assert_sound(&scratch, &format!("round {round}"), false);
        }
    });
    let there = scratch.bundle("web-1").exists();
    assert_usable(&scratch, "after all", there);
}

/// A delete that is killed before, while or after it unmounts has not touched what was mounted.
#[test]
#[cfg_attr(not(all(has_root, has_strace)), ignore = "needs root and strace")]
fn privileged_a_delete_that_is_killed_while_unmounting_keeps_the_data() {
    let name = "privileged_a_delete_that_is_killed_while_unmounting_keeps_the_data";
    if !privileges::root(name) || !strace::present(name) {
        return;
    }
    for (call, most) in [("umount2", 3), ("renameat2", 1), ("unlinkat", 4)] {
        for nth in 1..=most {
            let scratch = Scratch::new();
            let precious = scratch.path().join("precious");
            fs::create_dir(&precious).unwrap();
            fs::write(precious.join("data"), "precious").unwrap();
            mounts::private(|| {
                run(&mut create(&scratch), []).expect(0);
                let rootfs = scratch.bundle("web-1").join("rootfs");
                mounts::tmpfs(&rootfs);
                for name in ["one", "two"] {
                    fs::create_dir(rootfs.join(name)).unwrap();
                    mounts::bind(&precious, rootfs.join(name));
                }
                let inject = format!("--inject={call}:signal=KILL:when={nth}");
                let options = ["-o", "/dev/null", &format!("--trace={call}"), &inject];
                let delete = scratch.command(["delete", "web-1"]);
                let outcome = run(&mut strace::traced(&delete, options), []);
                // The broker unmounts: then the broker is killed.
                let told = call == "umount2" && outcome.stderr.contains("the broker does not answer");
                assert!(matches!(outcome.code, None | Some(137)) || told, "{call} {nth}: {outcome:?}");
                assert_eq!(scratch.bundle("web-1").exists(), call != "unlinkat", "{call} {nth}");
                run(&mut scratch.command(["delete", "web-1"]), []).expect(0);
                assert!(!scratch.bundle("web-1").exists() && !scratch.work_dir("web-1").exists(), "{call} {nth}");
                assert!(mounts::below(scratch.path()).is_empty(), "{call} {nth}");
                run(&mut create(&scratch), []).expect(0);
            });
            assert_eq!(fs::read(precious.join("data")).unwrap(), b"precious", "{call} {nth}");
        }
    }
}
