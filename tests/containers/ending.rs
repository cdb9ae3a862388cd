//! How `run` ends: at once when it is asked to, with nothing left, and without touching what
//! belongs to others.

use std::fs;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dunnage_tests::binary::run;
use dunnage_tests::containers::{Base, Node, ShimKind, each_shim, possible};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// How long everything may take that was asked to end.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// Starts a container that says when it is ready.
fn start(node: &Node, id: &str, script: &str, more: &[&str]) -> Child {
    let mut command = node.command(Base::Plain, id, &["/bin/sh", "-c", script], more);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
    let mut ready = [0; 6];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut ready).expect("ready");
    child
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("kill");
}

/// The exit code of what must end soon.
fn code_soon(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + END_TIMEOUT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("a status") {
            return status.code();
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it does not end");
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_new_container_of_the_same_name_is_not_killed() {
    // A shim of our own holds its address as long as its process is there.
    if !possible("privileged_a_new_container_of_the_same_name_is_not_killed") {
        return;
    }
    let node = Node::with(ShimKind::Remote);
    let mut first = start(&node, "rr", "echo ready; exec /bin/sleep 1000", &["--rm"]);
    send(&first, Signal::STOP);
    node.dunnage(["delete", "rr", "--force"]).expect(0);
    run(&mut node.command(Base::Plain, "rr", &["/bin/sleep", "1000"], &["--detach"]), []).expect(0);
    send(&first, Signal::CONT);
    code_soon(&mut first);
    assert_eq!(node.dunnage(["list", "--status", "-o", "json"]).expect(0).json()[0]["status"], "running");
    node.dunnage(["delete", "rr", "--force"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_reader_that_stalls_does_not_keep_it() {
    each_shim("privileged_a_reader_that_stalls_does_not_keep_it", |node| {
        // It ends by itself, with more output on its way than is read.
        let script = "echo ready; /bin/dd if=/dev/zero bs=65536 count=8";
        let mut ended = start(node, "ended", script, &["--rm"]);
        thread::sleep(Duration::from_millis(700));
        assert_eq!(ended.try_wait().expect("a status"), None);
        send(&ended, Signal::TERM);
        assert_eq!(code_soon(&mut ended), Some(143));
        // This one would write for ever.
        let mut endless = start(node, "endless", "echo ready; while :; do echo yes; done", &["--rm"]);
        thread::sleep(Duration::from_millis(300));
        send(&endless, Signal::INT);
        assert_eq!(code_soon(&mut endless), Some(130));
        node.expect_nothing_left();
    });
}

/// The shim of a container.
fn shim_of(node: &Node, id: &str) -> Pid {
    let found = node.dunnage(["inspect", id, "-o", "json"]).expect(0).json();
    i32::try_from(found["shim_pid"].as_i64().expect("a pid")).ok().and_then(Pid::from_raw).expect("a pid")
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_shim_that_is_stuck_does_not_keep_it() {
    if !possible("privileged_a_shim_that_is_stuck_does_not_keep_it") {
        return;
    }
    let node = Node::with(ShimKind::Remote);
    let mut child = start(&node, "stuck", "echo ready; exec /bin/sleep 1000", &["--rm"]);
    kill_process(shim_of(&node, "stuck"), Signal::STOP).expect("stop it");
    send(&child, Signal::TERM);
    assert_eq!(code_soon(&mut child), Some(143));
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_shim_that_never_answers_does_not_keep_it() {
    if !possible("privileged_a_shim_that_never_answers_does_not_keep_it") {
        return;
    }
    let node = Node::with(ShimKind::Remote);
    let shim = node.scratch.path().join("mute");
    fs::write(&shim, "#!/bin/sh\nexec sleep 1000\n").expect("a script");
    fs::set_permissions(&shim, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let more = ["--rm", "--timeout", "60", "--shim-binary", shim.to_str().expect("UTF-8")];
    let mut command = node.command(Base::Plain, "mute", &["/bin/true"], &more);
    let mut child = command.stdin(Stdio::null()).spawn().expect("start");
    thread::sleep(Duration::from_millis(700));
    send(&child, Signal::TERM);
    assert_eq!(code_soon(&mut child), Some(143));
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_signals_of_all_kinds_are_passed_on() {
    each_shim("privileged_signals_of_all_kinds_are_passed_on", |node| {
        for (number, code) in [(libc::SIGALRM, 142), (libc::SIGXCPU, 152), (libc::SIGRTMIN() + 3, 165)] {
            let mut child = start(node, "signal", "echo ready; exec /bin/sleep 1000", &["--rm"]);
            let killed = Command::new("kill").args([format!("-{number}"), child.id().to_string()]).status();
            assert!(killed.expect("kill").success());
            assert_eq!(code_soon(&mut child), Some(code));
            node.expect_nothing_left();
        }
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_what_cannot_be_deleted_is_told() {
    each_shim("privileged_what_cannot_be_deleted_is_told", |node| {
        for (signal, code) in [(Some(Signal::TERM), 143), (None, 125)] {
            let script = if signal.is_some() { "echo ready; exec /bin/sleep 1000" } else { "echo ready; /bin/sleep 1" };
            let mut child = start(node, "left", script, &["--rm"]);
            // A mount of another process, which is not ours to unmount.
            let there = node.scratch.bundle("left").join("theirs");
            fs::create_dir(&there).expect("a directory");
            rustix::mount::mount("none", &there, "tmpfs", rustix::mount::MountFlags::empty(), None).expect("mount");
            if let Some(signal) = signal {
                send(&child, signal);
            }
            let mut said = String::new();
            // With the signal the container ends as it should, and only the bundle stays.
            let found = code_soon(&mut child);
            child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
            assert!(said.contains("dunnage: delete default/left: unmount: "), "{said}");
            assert!(found == Some(code) || found == Some(125), "{found:?}");
            rustix::mount::unmount(&there, rustix::mount::UnmountFlags::empty()).expect("unmount");
            node.dunnage(["delete", "left", "--force"]).expect(0);
            node.expect_nothing_left();
        }
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_spec_does_not_drive_the_terminal() {
    each_shim("privileged_a_spec_does_not_drive_the_terminal", |node| {
        let spec = node.spec(Base::Plain, "escape", &["/bin/true"], false);
        let mut content: Value = serde_json::from_slice(&fs::read(&spec).expect("the spec")).expect("JSON");
        content["process"]["rlimits"] = json!([{ "type": "RLIMIT_\u{1b}[31mred\u{7}", "hard": 1, "soft": 1 }]);
        fs::write(&spec, content.to_string()).expect("write the spec");
        let outcome = run(&mut node.command_of(Base::Plain, "escape", &spec, &["--rm", "-vvv"]), []).expect(125);
        assert!(outcome.stderr.contains("RLIMIT_"), "{outcome:?}");
        assert!(!outcome.stderr.contains(|c: char| c.is_control() && c != '\n'), "{outcome:?}");
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_remover_keeps_nothing_of_its_caller() {
    each_shim("privileged_a_remover_keeps_nothing_of_its_caller", |node| {
        let kept = fs::File::open(node.spec(Base::Plain, "kept", &["/bin/true"], false)).expect("a file");
        let kept = rustix::io::fcntl_dupfd_cloexec(&kept, 50).expect("a descriptor");
        rustix::io::fcntl_setfd(&kept, rustix::io::FdFlags::empty()).expect("inherited");
        let mut command = node.command(Base::Plain, "web", &["/bin/sleep", "1"], &["--rm", "--detach"]);
        run(command.current_dir(node.scratch.path()), []).expect(0);
        let (pid, _) =
            node.processes().into_iter().find(|(_, line)| line.starts_with("dunnage-remover")).expect("a remover");
        assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).expect("its directory"), std::path::Path::new("/"));
        assert!(!fs::exists(format!("/proc/{pid}/fd/{}", kept.as_raw_fd())).expect("its descriptors"));
        node.wait_for_removal("web");
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_whole_containers_are_measured() {
    if !possible("privileged_whole_containers_are_measured") {
        return;
    }
    let node = Node::new();
    let mut command =
        node.scratch.command(["bench", "run", "--count", "1", "-o", "json", "--gid-range", "100000-100000"]);
    let spec = node.spec(Base::Userns, "bench", &["/bin/true"], false);
    command.arg("--spec").arg(&spec).arg("--rootfs").arg(node.rootfs(Base::Userns));
    let report = run(&mut command, []).expect(0).json();
    assert_eq!((&report["count"], report["commands"].as_array().map(Vec::len)), (&json!(1), Some(2)));
    // Group ranges apply to the measured commands too.
    let mut command = node.scratch.command(["bench", "run", "--count", "1", "--gid-range", "5-6"]);
    let refused = run(command.arg("--spec").arg(&spec).arg("--rootfs").arg(node.rootfs(Base::Userns)), []).expect(1);
    assert!(refused.stderr.contains("100000"), "{refused:?}");
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_detached_terminal_is_one() {
    each_shim("privileged_a_detached_terminal_is_one", |node| {
        // More than any buffer of a terminal takes.
        let script = "test -t 0 && test -t 1 && /bin/dd if=/dev/zero bs=65536 count=16 && exec /bin/sleep 1000";
        let spec = node.spec(Base::Plain, "tty", &["/bin/sh", "-c", script], true);
        run(&mut node.command_of(Base::Plain, "tty", &spec, &["--detach"]), []).expect(0);
        let sleeps = || node.processes().iter().any(|(_, line)| line.starts_with("/bin/sleep"));
        assert!((0..500).any(|_| {
            thread::sleep(Duration::from_millis(10));
            sleeps()
        }));
        node.dunnage(["delete", "tty", "--force"]).expect(0);
        node.expect_nothing_left();
    });
}
