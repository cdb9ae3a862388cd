//! System calls that old kernels lack, and that seccomp profiles hide: a fall-back that gives the
//! same results and refuses the same, or an error that names what is missing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dunnage_tests::binary::Build;
use dunnage_tests::scratch::tree;
use dunnage_tests::{Outcome, Scratch, mounts, privileges, run, specs};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use serde_json::Value;

/// `STATX_MNT_ID` of statx(2), since Linux 5.8.
const STATX_MNT_ID: u64 = 0x1000;

/// System calls that fail, and with which errno.
#[derive(Clone)]
struct Hidden {
    what: &'static str,
    filters: Vec<BpfProgram>,
}

impl Hidden {
    /// Hides nothing.
    fn nothing() -> Self {
        Self { what: "nothing", filters: Vec::new() }
    }

    /// Hides whole system calls.
    fn calls(what: &'static str, errno: i32, calls: &[i64]) -> Self {
        Self { what, filters: vec![filter(errno, calls.iter().map(|call| (*call, Vec::new())).collect())] }
    }

    /// Hides `statx` where it asks for the id of a mount: it is the fourth argument.
    fn and_mount_ids(mut self, what: &'static str) -> Self {
        let asked = SeccompCmpOp::MaskedEq(STATX_MNT_ID);
        let mask = SeccompCondition::new(3, SeccompCmpArgLen::Dword, asked, STATX_MNT_ID).expect("a condition");
        let rule = SeccompRule::new(vec![mask]).expect("a rule");
        self.filters.push(filter(libc::EINVAL, BTreeMap::from([(libc::SYS_statx, vec![rule])])));
        self.what = what;
        self
    }

    /// Hides them from a command that has not started yet.
    fn from(&self, mut command: Command) -> Command {
        let filters = self.filters.clone();
        #[expect(unsafe_code, reason = "only between fork and exec a filter concerns the command alone")]
        // SAFETY: `apply_filter` makes two system calls on memory that exists already: it neither
        // allocates nor takes a lock, so it may run in a forked child of a process with threads.
        unsafe {
            command.pre_exec(move || {
                let apply = |filter: &BpfProgram| {
                    seccompiler::apply_filter(filter).map_err(|_| std::io::Error::last_os_error())
                };
                filters.iter().try_for_each(apply)
            });
        }
        command
    }
}

fn filter(errno: i32, rules: BTreeMap<i64, Vec<SeccompRule>>) -> BpfProgram {
    let errno = u32::try_from(errno).expect("a positive errno");
    let machine = TargetArch::try_from(std::env::consts::ARCH).expect("a machine that seccomp knows");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), machine);
    filter.expect("a filter").try_into().expect("a program")
}

/// The ways to open a directory that must come to the same.
fn ways() -> Vec<Hidden> {
    let openat2 = |what, errno| Hidden::calls(what, errno, &[libc::SYS_openat2]);
    vec![
        Hidden::nothing(),
        Hidden::nothing().and_mount_ids("mount ids of statx"),
        openat2("openat2 by the kernel", libc::ENOSYS),
        openat2("openat2 by a profile", libc::EPERM),
        openat2("", libc::ENOSYS).and_mount_ids("openat2 and mount ids of statx"),
        openat2("", libc::EPERM).and_mount_ids("openat2 by a profile, and mount ids of statx"),
    ]
}

/// Runs the binary with something hidden.
fn run_without(hidden: &Hidden, scratch: &Scratch, arguments: &[&str]) -> Outcome {
    run(&mut hidden.from(scratch.command_of(Build::Default, arguments)), [])
}

fn plain() -> String {
    specs::data("plain.json").to_str().expect("a path in UTF-8").to_owned()
}

/// What a program reads from a run, without what differs from place to place.
fn answer(scratch: &Scratch, outcome: &Outcome) -> (Option<i32>, String, String) {
    let neutral = |text: &str| {
        let mut text = text.replace(scratch.path().to_str().unwrap(), "SCRATCH");
        if let Ok(mut value) = serde_json::from_str::<Value>(&text) {
            forget_times(&mut value);
            text = value.to_string();
        }
        text
    };
    (outcome.code, neutral(&outcome.stdout), neutral(&outcome.stderr))
}

fn forget_times(value: &mut Value) {
    if let Some(object) = value.as_object_mut() {
        object.remove("created");
        object.values_mut().for_each(forget_times);
    }
    value.as_array_mut().into_iter().flatten().for_each(forget_times);
}

/// The filters do hide: a call for which there is no fall-back fails.
#[test]
fn hidden_calls_are_hidden() {
    let scratch = Scratch::new();
    let spec = plain();
    let create = ["create", "web-1", "--spec", &spec];
    for (errno, text) in [(libc::ENOSYS, "not implemented"), (libc::EPERM, "not permitted")] {
        let hidden = Hidden::calls("mkdirat", errno, &[libc::SYS_mkdirat]);
        let outcome = run_without(&hidden, &scratch, &create).expect(1);
        assert!(outcome.stderr.contains("mkdirat") && outcome.stderr.contains(text), "{outcome:?}");
        assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
    }
    let blind = Hidden::calls("statx", libc::ENOSYS, &[libc::SYS_statx]);
    let outcome = run_without(&blind, &scratch, &[&create[..], &["-o", "json"]].concat()).expect(1);
    assert!(outcome.stderr.contains(r#""kind":"unsupported""#) && outcome.stderr.contains("statx"), "{outcome:?}");
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
}

#[test]
fn a_whole_life_is_the_same_whatever_is_hidden() {
    let spec = plain();
    let life = |hidden: &Hidden| {
        let scratch = Scratch::new();
        let mut seen = Vec::new();
        for arguments in [
            &["list", "-A"][..],
            &["create", "web-1", "--spec", &spec],
            &["create", "web-1", "--spec", &spec],
            &["create", "web-2", "--spec", &spec, "-n", "other"],
            &["list", "-A"],
            &["inspect", "web-1"],
            &["inspect", "web-3"],
            &["shim", "connect-address", "web-1"],
        ] {
            let outcome = run_without(hidden, &scratch, &[arguments, &["-o", "json"]].concat());
            seen.push((answer(&scratch, &outcome), scratch.tree()));
        }
        let bundle = scratch.bundle("web-1");
        fs::create_dir_all(bundle.join("rootfs/a/b/c")).unwrap();
        symlink("/etc", bundle.join("rootfs/a/link")).unwrap();
        let address = format!("unix://{}/socket", scratch.sockets().display());
        fs::write(bundle.join("address"), address).unwrap();
        for arguments in [
            &["inspect", "web-1"][..],
            &["shim", "connect-address", "web-1"],
            &["delete", "web-1"],
            &["delete", "web-1"],
            &["delete", "web-2", "-n", "other"],
            &["list", "-A"],
        ] {
            let outcome = run_without(hidden, &scratch, &[arguments, &["-o", "json"]].concat());
            seen.push((answer(&scratch, &outcome), scratch.tree()));
        }
        seen
    };
    let expected = life(&Hidden::nothing());
    let codes: Vec<_> = expected.iter().map(|((code, _, _), _)| code.unwrap()).collect();
    assert_eq!(codes, [0, 0, 4, 0, 0, 0, 5, 5, 0, 0, 0, 0, 0, 0], "{expected:#?}");
    for hidden in ways() {
        assert_eq!(life(&hidden), expected, "without {}", hidden.what);
    }
}

#[test]
fn links_are_refused_whatever_is_hidden() {
    for hidden in ways() {
        let scratch = Scratch::new();
        let outside = scratch.path().join("outside");
        fs::create_dir_all(outside.join("web-1/rootfs")).unwrap();
        fs::write(outside.join("web-1/config.json"), "{}").unwrap();
        let spec = plain();
        run_without(&hidden, &scratch, &["create", "web-1", "--spec", &spec]).expect(0);
        symlink(outside.join("web-1"), scratch.bundle("evil")).unwrap();
        symlink(outside.join("web-1"), scratch.work_dir("worse")).unwrap();
        symlink(&outside, scratch.state().join("space")).unwrap();
        symlink(&outside, scratch.root().join("room")).unwrap();
        // A record that leads elsewhere.
        fs::write(outside.join("address"), "unix:///run/secret").unwrap();
        symlink(outside.join("address"), scratch.bundle("web-1").join("address")).unwrap();
        let before = scratch.tree();
        for (arguments, code) in [
            (&["inspect", "evil"][..], 1),
            (&["delete", "evil"], 1),
            (&["create", "evil", "--spec", &spec], 4),
            (&["create", "worse", "--spec", &spec], 1),
            (&["delete", "worse"], 1),
            (&["create", "web-1", "--spec", &spec, "-n", "space"], 1),
            (&["inspect", "web-1", "-n", "space"], 1),
            (&["list", "-n", "space"], 1),
            (&["delete", "web-1", "-n", "space"], 1),
            (&["create", "web-1", "--spec", &spec, "-n", "room"], 1),
            (&["shim", "connect-address", "web-1", "--allow-legacy"], 1),
        ] {
            let outcome = run_without(&hidden, &scratch, arguments);
            assert_eq!(outcome.code, Some(code), "without {}: {arguments:?}: {outcome:?}", hidden.what);
            assert!(!outcome.stdout.contains("secret"), "without {}: {outcome:?}", hidden.what);
            assert_eq!(scratch.tree(), before, "without {}: {arguments:?}", hidden.what);
        }
        run_without(&hidden, &scratch, &["delete", "web-1"]).expect(0);
        assert!(outside.join("address").exists());
    }
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_mounts_are_not_crossed_whatever_is_hidden() {
    if !privileges::root("privileged_mounts_are_not_crossed_whatever_is_hidden") {
        return;
    }
    for hidden in ways() {
        for place in ["state/default/web-1", "root/default/web-1", "state/default/web-1/extra", "root/default/web-1/in"]
        {
            let scratch = Scratch::new();
            let precious = scratch.path().join("precious");
            fs::create_dir_all(precious.join("rootfs")).unwrap();
            fs::write(precious.join("rootfs/data"), "precious").unwrap();
            let kept = tree(&precious);
            mounts::private(|| {
                run_without(&hidden, &scratch, &["create", "web-1", "--spec", &plain()]).expect(0);
                let at = scratch.path().join(place);
                fs::create_dir_all(&at).unwrap();
                // The same file system, so that only the mount's id tells the difference.
                mounts::bind(&precious, &at);
                let (before, mounted) = (scratch.tree(), mounts::below(scratch.path()));
                let outcome = run_without(&hidden, &scratch, &["delete", "web-1"]);
                assert_eq!(outcome.code, Some(6), "without {}: {place}: {outcome:?}", hidden.what);
                if place == "state/default/web-1" {
                    run_without(&hidden, &scratch, &["inspect", "web-1"]).expect(1);
                }
                assert_eq!((scratch.tree(), mounts::below(scratch.path())), (before, mounted), "{place}");
            });
            assert_eq!(tree(&precious), kept);
        }
    }
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_mounts_on_rootfs_are_unmounted_whatever_is_hidden() {
    if !privileges::root("privileged_mounts_on_rootfs_are_unmounted_whatever_is_hidden") {
        return;
    }
    for hidden in ways() {
        let scratch = Scratch::new();
        let precious = scratch.path().join("precious");
        fs::create_dir_all(precious.join("proc")).unwrap();
        fs::write(precious.join("data"), "precious").unwrap();
        mounts::private(|| {
            run_without(&hidden, &scratch, &["create", "web-1", "--spec", &plain()]).expect(0);
            let rootfs = scratch.bundle("web-1").join("rootfs");
            mounts::bind(&precious, &rootfs);
            mounts::tmpfs(rootfs.join("proc"));
            let outcome = run_without(&hidden, &scratch, &["delete", "web-1"]);
            assert_eq!(outcome.code, Some(0), "without {}: {outcome:?}", hidden.what);
            assert!(mounts::below(scratch.path()).is_empty());
        });
        assert_eq!(fs::read(precious.join("data")).unwrap(), b"precious");
    }
}

/// A process whose working directory is the bundle, as a shim's is.
struct ShimProcess(Child);

impl ShimProcess {
    fn of(bundle: &Path) -> Self {
        let mut cat = Command::new("cat");
        let child = cat.current_dir(bundle).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat");
        fs::write(bundle.join("shim.pid"), child.id().to_string()).expect("shim.pid");
        Self(child)
    }
}

impl Drop for ShimProcess {
    fn drop(&mut self) {
        self.0.kill().expect("kill");
        self.0.wait().expect("wait");
    }
}

/// Without `pidfd_open` it is unknown whether a shim lives: not knowing is not "dead".
#[test]
fn without_pidfd_open_a_bundle_with_a_shim_is_not_deleted() {
    let scratch = Scratch::new();
    for errno in [libc::ENOSYS, libc::EPERM] {
        let hidden = Hidden::calls("pidfd_open", errno, &[libc::SYS_pidfd_open]);
        run_without(&hidden, &scratch, &["create", "web-1", "--spec", &plain()]).expect(0);
        let shim = ShimProcess::of(&scratch.bundle("web-1"));
        let before = scratch.tree();
        for force in [&["--force"][..], &[]] {
            let outcome = run_without(&hidden, &scratch, &[&["delete", "web-1"], force].concat());
            assert!(matches!(outcome.code, Some(1 | 6)), "{outcome:?}");
            assert!(outcome.stderr.contains("pidfd_open"), "{outcome:?}");
            assert_eq!(scratch.tree(), before);
        }
        run_without(&Hidden::nothing(), &scratch, &["delete", "web-1"]).expect(6);
        drop(shim);
        // A bundle without a shim does not need it.
        fs::remove_file(scratch.bundle("web-1").join("shim.pid")).unwrap();
        run_without(&hidden, &scratch, &["inspect", "web-1"]).expect(0);
        run_without(&hidden, &scratch, &["delete", "web-1"]).expect(0);
    }
}

/// As on a file system that cannot rename without replacing: never replace, and say so.
#[test]
fn without_a_rename_that_spares_what_is_there_nothing_is_made_or_deleted() {
    let scratch = Scratch::new();
    run_without(&Hidden::nothing(), &scratch, &["create", "web-1", "--spec", &plain()]).expect(0);
    let before = scratch.tree();
    for errno in [libc::ENOSYS, libc::EINVAL] {
        let hidden = Hidden::calls("renameat2", errno, &[libc::SYS_renameat2]);
        for arguments in [&["create", "web-2", "--spec", &plain()][..], &["delete", "web-1"]] {
            let outcome = run_without(&hidden, &scratch, &[arguments, &["-o", "json"]].concat()).expect(1);
            assert!(outcome.stderr.contains(r#""kind":"unsupported""#), "{errno}: {outcome:?}");
            assert!(outcome.stderr.contains("renameat2"), "{errno}: {outcome:?}");
            assert_eq!(scratch.tree(), before, "{errno}: {arguments:?}");
        }
    }
}

/// The policy is confined in any case; Landlock is a second wall around the host.
#[test]
fn without_landlock_everything_works_and_is_told() {
    let calls = [libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];
    for errno in [libc::ENOSYS, libc::EOPNOTSUPP, libc::EPERM] {
        let scratch = Scratch::new();
        let hidden = Hidden::calls("landlock", errno, &calls);
        let shown = run_without(&hidden, &scratch, &["policy", "inspect", "-o", "json"]).expect(0).json();
        assert!(shown["confinement"].to_string().contains("this kernel does not support Landlock"), "{errno}: {shown}");
        for arguments in
            [&["create", "web-1", "--spec", &plain()][..], &["list"], &["inspect", "web-1"], &["delete", "web-1"]]
        {
            run_without(&hidden, &scratch, arguments).expect(0);
        }
    }
}

/// A policy whose memory starts from an image needs it; one without does not.
#[test]
fn without_memfd_create_policies_run_or_the_error_says_why() {
    for errno in [libc::ENOSYS, libc::EPERM] {
        let scratch = Scratch::new();
        let hidden = Hidden::calls("memfd_create", errno, &[libc::SYS_memfd_create]);
        let outcome = run_without(&hidden, &scratch, &["create", "web-1", "--spec", &plain()]);
        if outcome.code == Some(0) {
            run_without(&hidden, &scratch, &["delete", "web-1"]).expect(0);
        } else {
            assert!(outcome.stderr.contains("memfd"), "{outcome:?}");
            outcome.expect(7);
            assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
        }
    }
}
