//! Shims, runc and containers inherit nothing of the confinement of the process that starts or ends
//! them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use dunnage_tests::containers::{Base, Node, each_shim, possible};
use dunnage_tests::{run, strace};
use rustix::process::{Pid, Signal, kill_process};

/// What would have been inherited.
const FIELDS: [&str; 6] = ["CapBnd", "CapPrm", "CapEff", "CapInh", "NoNewPrivs", "Seccomp"];

fn fields(status: &str) -> BTreeMap<String, String> {
    let fields = status.lines().filter_map(|line| line.split_once(':'));
    fields
        .filter(|(name, _)| FIELDS.contains(name))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn of(pid: impl std::fmt::Display) -> BTreeMap<String, String> {
    fields(&fs::read_to_string(format!("/proc/{pid}/status")).expect("the status of a process"))
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_shims_inherit_nothing() {
    each_shim("privileged_shims_inherit_nothing", |node| {
        let spec = node.spec(Base::Plain, "web", &["/bin/sleep", "1000"], false);
        let ran = run(&mut node.command_of(Base::Plain, "web", &spec, &["--detach", "-o", "json"]), []);
        let ran = ran.expect(0).json();
        assert_eq!(of(&ran["shim_pid"]), of("self"));
        // What the container gives up is what its spec says.
        assert_eq!((&*of(&ran["pid"])["Seccomp"], of(&ran["pid"]).len()), ("0", FIELDS.len()));
        node.dunnage(["delete", "web", "--force"]).expect(0);
        node.expect_nothing_left();
    });
}

/// The capabilities of a process that makes and deletes bundles: `CAP_CHOWN`, `CAP_DAC_OVERRIDE`,
/// `CAP_FOWNER`, and of one that only deletes them.
const MAKES: &str = "000000000000000b";
const DELETES: &str = "000000000000000a";

#[track_caller]
fn expect_confined(pid: u32, capabilities: &str) {
    let found = of(pid);
    for set in ["CapBnd", "CapPrm", "CapEff"] {
        assert_eq!(found[set], capabilities, "{set}");
    }
    assert_eq!((&*found["CapInh"], &*found["NoNewPrivs"], &*found["Seccomp"]), ("0000000000000000", "1", "2"));
}

/// The processes of a test by the name that they were called by.
fn called<'a>(node: &'a Node, name: &'a str) -> impl Iterator<Item = u32> + 'a {
    node.processes().into_iter().filter(move |(_, line)| line.starts_with(name)).map(|(pid, _)| pid)
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_who_runs_a_container_is_confined() {
    each_shim("privileged_who_runs_a_container_is_confined", |node| {
        let mut command = node.command(Base::Plain, "web", &["/bin/cat"], &["--rm"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        // The container runs once it answers.
        child.stdin.as_mut().expect("its input").write_all(b"x").expect("a letter");
        child.stdout.as_mut().expect("its output").read_exact(&mut [0]).expect("the letter");
        expect_confined(child.id(), MAKES);
        let shims: Vec<_> = called(node, "containerd-shim").collect();
        assert_eq!(shims.len(), 1);
        assert_eq!(of(shims[0]), of("self"));
        // The broker is a copy of it that has given up nothing.
        let broker: Vec<_> = children(child.id());
        assert_eq!(broker.len(), 1);
        assert_eq!(of(broker[0]), of("self"));
        // It keeps nothing of what was open: not the spec, which may lie on a file system that is
        // to be unmounted.
        let open = fs::read_dir(format!("/proc/{}/fd", broker[0])).expect("its descriptors");
        let open: Vec<_> = open.map(|entry| fs::read_link(entry.expect("an entry").path()).expect("a link")).collect();
        assert!(!open.iter().any(|path| path.extension().is_some_and(|extension| extension == "json")), "{open:?}");
        drop(child.stdin.take());
        assert!(child.wait().expect("its end").success());
        node.expect_nothing_left();
    });
}

fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("its children");
    children.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect()
}

/// Stopping a service sends signals to all of its processes.
#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_broker_outlives_signals() {
    each_shim("privileged_a_broker_outlives_signals", |node| {
        let mut child = node.command(Base::Plain, "web", &["/bin/cat"], &["--rm"]);
        let mut child =
            child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
        // Kept open to the end, since its end would be that of the container.
        let mut input = child.stdin.take().expect("its input");
        input.write_all(b"x").expect("a letter");
        child.stdout.as_mut().expect("its output").read_exact(&mut [0]).expect("the letter");
        for pid in children(child.id()).into_iter().chain([child.id()]) {
            signal(pid, Signal::TERM);
        }
        let ended = child.wait_with_output().expect("its end");
        assert_eq!(ended.status.code(), Some(143), "{}", String::from_utf8_lossy(&ended.stderr));
        assert!(ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
        drop(input);
        node.expect_nothing_left();
    });
}

/// A broker that is killed is reported as missing, and what it was needed for can be done later.
#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_broker_that_is_killed_loses_nothing() {
    each_shim("privileged_a_broker_that_is_killed_loses_nothing", |node| {
        for delay in [0, 2, 4, 8, 16, 32, 64, 300] {
            let mut child = node.command(Base::Plain, "web", &["/bin/sleep", "1000"], &["--rm"]);
            let mut child = child.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("start");
            thread::sleep(Duration::from_millis(delay));
            children(child.id()).into_iter().for_each(|broker| signal(broker, Signal::KILL));
            thread::sleep(Duration::from_millis(100));
            // It may have ended by then.
            if child.try_wait().expect("its state").is_none() {
                signal(child.id(), Signal::TERM);
            }
            let ended = child.wait_with_output().expect("its end");
            assert!(!ended.status.success(), "{delay}");
            node.dunnage(["delete", "web", "--force"]).expect(0);
            node.dunnage(["recover"]).expect(0);
            for _ in 0..200 {
                node.processes()
                    .iter()
                    .filter(|(_, line)| line.starts_with("runc init"))
                    .for_each(|(pid, _)| signal(*pid, Signal::KILL));
                if node.processes().is_empty() {
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
            node.expect_only_cgroups_left();
        }
    });
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    // It may be gone by itself.
    let _ = kill_process(pid, signal);
}

/// A program of the shim's name, where a confined process could have put it.
#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_programs_in_a_bundle_are_not_run() {
    if !possible("privileged_programs_in_a_bundle_are_not_run") {
        return;
    }
    let node = Node::new();
    node.create("web", &["/bin/true"]);
    let (bundle, proof) = (node.scratch.bundle("web"), node.scratch.path().join("proof"));
    for program in ["containerd-shim", "shim"] {
        fs::write(bundle.join(program), format!("#!/bin/sh\n: > {}\n", proof.display())).expect("a script");
        fs::set_permissions(bundle.join(program), fs::Permissions::from_mode(0o755)).expect("its mode");
    }
    let here = bundle.join("shim");
    for (program, path) in [
        ("containerd-shim", ":."),
        ("containerd-shim", ""),
        ("./shim", "/usr/bin"),
        (here.to_str().expect("UTF-8"), "/usr/bin"),
    ] {
        let mut command = node.scratch.command(["shim", "start", "web", "--shim-binary", program]);
        let failed = run(command.env("PATH", path).current_dir("/"), []).expect(1);
        assert!(failed.stderr.contains("cannot start the shim") || failed.stderr.contains("not trusted"), "{failed:?}");
        assert!(!proof.exists(), "{program} {path}");
    }
    node.dunnage(["delete", "web"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_who_removes_a_container_is_confined() {
    each_shim("privileged_who_removes_a_container_is_confined", |node| {
        run(&mut node.command(Base::Plain, "web", &["/bin/sleep", "2"], &["--rm", "--detach"]), []).expect(0);
        let remover = called(node, "dunnage-remover").find(|pid| !children(*pid).is_empty()).expect("a remover");
        expect_confined(remover, DELETES);
        node.wait_for_removal("web");
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(all(has_containers, has_strace)), ignore = "needs root, containerd, runc, busybox-static and strace")]
fn privileged_who_starts_a_shim_is_confined() {
    let name = "privileged_who_starts_a_shim_is_confined";
    if !possible(name) || !strace::present(name) {
        return;
    }
    let node = Node::new();
    node.create("web", &["/bin/true"]);
    let trace = node.scratch.path().join("trace");
    let options = [
        "--detach-on=execve",
        "--trace=landlock_restrict_self,seccomp,bind,execve",
        "-o",
        trace.to_str().expect("UTF-8"),
    ];
    run(&mut strace::traced(&node.scratch.command(["shim", "start", "web"]), options), []).expect(0);
    let trace = fs::read_to_string(&trace).expect("the trace");
    let calls: Vec<_> = trace.lines().filter_map(|line| line.split_once(' ')).collect();
    let position = |call: &str| calls.iter().position(|(_, text)| text.trim_start().starts_with(call));
    let [restricted, filtered, bound] =
        ["landlock_restrict_self(", "seccomp(", "bind("].map(|call| position(call).expect(call));
    assert!(restricted < filtered && filtered < bound, "{trace}");
    // A confined process starts nothing.
    let confined = calls[filtered].0;
    assert_eq!(calls.iter().filter(|(pid, call)| *pid == confined && call.contains("execve(")).count(), 1, "{trace}");
    node.dunnage(["delete", "web", "--force"]).expect(0);
    node.expect_nothing_left();
}

/// A directory with a runc that writes down its own identity.
fn spying(node: &Node, proof: &Path) -> PathBuf {
    let directory = node.scratch.path().join("spying");
    fs::create_dir(&directory).expect("a directory");
    let script = format!(
        "#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\ncat /proc/self/status >> {}\nexec runc \"$@\"\n",
        proof.display()
    );
    fs::write(directory.join("runc"), script).expect("a script");
    fs::set_permissions(directory.join("runc"), fs::Permissions::from_mode(0o755)).expect("its mode");
    directory
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_runc_inherits_nothing_of_a_delete() {
    if !possible("privileged_runc_inherits_nothing_of_a_delete") {
        return;
    }
    let node = Node::new();
    let spec = node.spec(Base::Plain, "web", &["/bin/sleep", "1000"], false);
    run(&mut node.command_of(Base::Plain, "web", &spec, &["--detach"]), []).expect(0);
    let proof = node.scratch.path().join("proof");
    let mut delete = node.scratch.command(["delete", "web", "--force"]);
    run(delete.env("PATH", spying(&node, &proof)), []).expect(0);
    let seen = fs::read_to_string(&proof).expect("runc was run");
    let runs: Vec<_> = seen.split("Name:").skip(1).map(fields).collect();
    assert!(runs.len() >= 2, "{seen}");
    for run in runs {
        assert_eq!(run, of("self"));
    }
    node.expect_nothing_left();
}
