//! Commands confine themselves, which must not be in the way.

mod order;
mod processes;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use dunnage_tests::binary::Build;
use dunnage_tests::{Scratch, hostile, run, specs, strace};

fn plain() -> String {
    specs::data("plain.json").to_str().expect("a path in UTF-8").to_owned()
}

/// Whether this kernel confines at all, asked of the kernel itself: the size of the smallest
/// ruleset is wrong (EINVAL) where there is Landlock.
fn kernel_confines() -> bool {
    #[expect(unsafe_code, reason = "asking for the version has no safe wrapper")]
    // SAFETY: with a null attribute of size 0 and the flag `LANDLOCK_CREATE_RULESET_VERSION` (1)
    // the call only answers a number (landlock_create_ruleset(2)).
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0_usize, 1_u32) };
    version > 0
}

fn confinement(arguments: &[&str]) -> String {
    let scratch = Scratch::new();
    let mut command = scratch.command(["policy", "inspect", "-o", "json"]);
    run(command.args(arguments), []).expect(0).json()["confinement"].to_string()
}

#[test]
fn policy_inspect_tells_what_is_in_force() {
    let expected = if kernel_confines() { "process: confined by Landlock" } else { "does not support Landlock" };
    assert!(confinement(&[]).contains(expected), "{}", confinement(&[]));
    assert!(confinement(&["--no-confine"]).contains("not confined, as requested"));
    let scratch = Scratch::new();
    let table = run(scratch.command(["policy", "inspect"]).env("DUNNAGE_NO_CONFINE", "true"), []).expect(0);
    assert!(table.stdout.contains("not confined, as requested"), "{table:?}");
}

/// Confinement is not only reported but done, before anything is made.
#[test]
#[cfg_attr(not(has_strace), ignore = "needs strace")]
fn commands_confine_themselves() {
    if !kernel_confines() || !strace::present("commands_confine_themselves") {
        return;
    }
    let scratch = Scratch::new();
    let trace = scratch.path().join("trace");
    let calls = |arguments: &[&str]| {
        let options = ["--trace=landlock_restrict_self,mkdirat,renameat2", "-o", trace.to_str().unwrap()];
        run(&mut strace::traced(&scratch.command(arguments), options), []).expect(0);
        let text = fs::read_to_string(&trace).unwrap();
        // Each line starts with a process id.
        let calls = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim_start().to_owned());
        calls.filter(|call| !call.starts_with("+++")).collect::<Vec<_>>()
    };
    let confines = |call: &String| call.starts_with("landlock_restrict_self") && call.ends_with("= 0");
    let spec = plain();
    for (position, arguments) in [
        &["create", "web-1", "--spec", &spec][..],
        &["list"],
        &["gid", "--spec", &spec],
        &["shim", "address", "web-1"],
        &["shim", "config", "web-1"],
        &["policy", "verify"],
    ]
    .into_iter()
    .enumerate()
    {
        let calls = calls(arguments);
        assert!(calls.first().is_some_and(confines), "{arguments:?}: {calls:?}");
        // The first one is the one that makes something.
        assert_eq!(calls.iter().any(|call| call.starts_with("renameat2")), position == 0, "{arguments:?}: {calls:?}");
    }
    assert!(!calls(&["create", "web-2", "--spec", &spec, "--no-confine"]).iter().any(confines));
    let deleting = calls(&["delete", "web-1", "web-2"]);
    assert!(deleting.first().is_some_and(confines), "{deleting:?}");
}

/// A bundle from its creation to its deletion, in some directories.
fn live(state: &Path, root: &Path, options: &[&str]) {
    let scratch = Scratch::new();
    let command = |arguments: &[&str]| {
        let mut command = scratch.command(arguments);
        command.env("DUNNAGE_STATE", state).env("DUNNAGE_ROOT", root).args(options).args(["-o", "json"]);
        run(&mut command, [])
    };
    let created = command(&["create", "web-1", "--spec", &plain()]).expect(0).json();
    assert!(Path::new(created["bundle"].as_str().unwrap()).join("config.json").is_file(), "{created}");
    assert!(Path::new(created["work_dir"].as_str().unwrap()).is_dir(), "{created}");
    command(&["create", "web-1", "--spec", &plain()]).expect(4);
    assert_eq!(command(&["list"]).expect(0).json().as_array().unwrap().len(), 1);
    command(&["inspect", "web-1"]).expect(0);
    command(&["shim", "connect-address", "web-1"]).expect(5);
    assert_eq!(command(&["delete", "web-1"]).expect(0).json()["deleted"], serde_json::json!(["web-1"]));
}

#[test]
fn create_works_where_nothing_is_yet() {
    for options in [&[][..], &["--no-confine"], &["--durable"]] {
        let scratch = Scratch::new();
        live(&scratch.state(), &scratch.root(), options);
        // Again, now that the directories are there.
        live(&scratch.state(), &scratch.root(), options);
        let deep = scratch.path().join("not/yet/there");
        live(&deep.join("state"), &deep.join("root"), options);
        // Root below state.
        live(&scratch.path().join("one"), &scratch.path().join("one/two/root"), options);
    }
}

#[test]
fn create_works_through_links_and_roundabout_ways() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("far")).unwrap();
    symlink(scratch.path().join("far"), scratch.path().join("link")).unwrap();
    symlink("far", scratch.path().join("relative")).unwrap();
    live(&scratch.path().join("link"), &scratch.path().join("relative/root"), &[]);
    live(&scratch.path().join("link/a/b"), &scratch.path().join("link/../far/c"), &[]);
    assert!(scratch.path().join("far/a/b/default").is_dir());
}

#[test]
fn relative_directories_work() {
    let scratch = Scratch::new();
    let mut command = scratch.command(["create", "web-1", "--state", "here/state", "--root", "./here/root", "--spec"]);
    run(command.arg(plain()).current_dir(scratch.path()), []).expect(0);
    assert!(scratch.path().join("here/state/default/web-1/config.json").is_file());
}

/// Neither the spec nor the policy lies in the directories of the bundles.
#[test]
fn specs_and_policies_come_from_elsewhere() {
    let scratch = Scratch::new();
    let elsewhere = Scratch::new();
    fs::copy(hostile::POLICY, elsewhere.path().join("policy.wasm")).unwrap();
    fs::copy(plain(), elsewhere.path().join("spec.json")).unwrap();
    symlink("policy.wasm", elsewhere.path().join("link.wasm")).unwrap();
    for (number, policy) in ["policy.wasm", "link.wasm"].into_iter().enumerate() {
        let id = format!("web-{number}");
        let mut command = scratch.command_of(Build::PolicyFile, ["create", &id, "--spec", "spec.json", "-o", "json"]);
        command.args(["--policy", policy, "--policy-digest", &hostile::digest()]).current_dir(elsewhere.path());
        let created = run(&mut command, []).expect(0).json();
        assert_eq!(created["shim_address"], format!("unix:///run/elsewhere/{id}"));
    }
    let created = run(&mut scratch.command(["create", "piped", "--spec", "-"]), fs::read(plain()).unwrap());
    created.expect(0);
}

/// Without it a command would have to stay unconfined, or could not do its work.
#[test]
#[cfg_attr(not(has_strace), ignore = "needs strace")]
fn without_its_broker_a_command_does_nothing() {
    let scratch = Scratch::new();
    run(&mut scratch.command(["create", "web-1", "--spec", &plain()]), []).expect(0);
    let before = scratch.tree();
    for arguments in [&["delete", "web-1"][..], &["delete", "--force", "web-1"], &["inspect", "web-1"], &["recover"]] {
        let command = scratch.command(arguments);
        let failed = run(&mut strace::traced(&command, ["--inject=socketpair:error=EMFILE"]), []).expect(1);
        assert!(failed.stderr.contains("its broker cannot be started: Too many open files"), "{failed:?}");
        assert_eq!(scratch.tree(), before, "{arguments:?}");
    }
    run(&mut scratch.command(["delete", "web-1"]), []).expect(0);
}

/// Undoing needs rights too.
#[test]
fn what_fails_confined_leaves_nothing() {
    let scratch = Scratch::new();
    let mut command = scratch.command(["create", "web-1", "--gid-range", "1-9", "--spec"]);
    run(command.arg(specs::data("userns.json")), []).expect(3);
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
    let mut command = scratch.command_of(Build::PolicyFile, ["create", "trap-late", "--spec", &plain()]);
    run(command.args(hostile::options()), []).expect(7);
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
}
