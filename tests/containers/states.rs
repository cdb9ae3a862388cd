//! What the state of a container forbids: an error that says so, the same with both shims, and nothing
//! has changed.

use std::fs::{self, File};
use std::process::Stdio;

use dunnage_tests::binary::run;
use dunnage_tests::containers::{Base, Node, each_shim};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;

fn detached(node: &Node, id: &str, script: &str) -> Value {
    run(&mut node.command(Base::Plain, id, &["/bin/sh", "-c", script], &["--detach", "-o", "json"]), [])
        .expect(0)
        .json()
}

#[track_caller]
fn refused(node: &Node, arguments: &[&str], stdin: &str, code: i32, why: &str) {
    let outcome = run(&mut node.scratch.command(arguments.iter().copied()), stdin).expect(code);
    assert!(outcome.stderr.contains(why), "{arguments:?}: {outcome:?}");
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_paused_container_can_be_stopped() {
    each_shim("privileged_a_paused_container_can_be_stopped", |node| {
        detached(node, "c1", "sleep 1000");
        refused(node, &["resume", "c1"], "", 6, "is not paused");
        node.dunnage(["pause", "c1"]).expect(0);
        refused(node, &["pause", "c1"], "", 6, "is paused already");
        refused(node, &["exec", "c1", "--", "true"], "", 6, "is paused; resume it first");
        node.dunnage(["stop", "c1", "--timeout", "0"]).expect(0);
        assert_eq!(node.dunnage(["wait", "c1"]).expect(0).stdout, "137\n");
        node.dunnage(["delete", "c1"]).expect(0);
        detached(node, "c2", "sleep 1000");
        node.dunnage(["pause", "c2"]).expect(0);
        node.dunnage(["kill", "c2", "KILL"]).expect(0);
        assert_eq!(node.dunnage(["wait", "c2"]).expect(0).stdout, "137\n");
        node.dunnage(["delete", "c2"]).expect(0);
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_bad_input_about_processes_is_told_the_same_way() {
    each_shim("privileged_bad_input_about_processes_is_told_the_same_way", |node| {
        detached(node, "c1", "sleep 1000");
        refused(node, &["resize", "c1", "80x24"], "", 6, "has no terminal");
        refused(node, &["resize", "c1", "80x24", "--exec", "none"], "", 6, "none");
        refused(node, &["kill", "c1", "--exec", "none"], "", 6, "none");
        node.dunnage(["exec", "c1", "--detach", "--exec-id", "e1", "--", "sleep", "1000"]).expect(0);
        refused(node, &["exec", "c1", "--exec-id", "e1", "--", "true"], "", 4, "\"e1\" already");
        let file = node.scratch.path().join("bad.json");
        let path = file.to_str().expect("UTF-8");
        for bad in ["", "{\"memory\":", "[]", "\"x\"", "{} {}"] {
            fs::write(&file, bad).expect("write");
            refused(node, &["update", "c1", "--resources", path], "", 3, path);
            refused(node, &["update", "c1", "--resources", "-"], bad, 3, "standard input");
            refused(node, &["exec", "c1", "--process", path], "", 3, path);
        }
        let gone = node.scratch.path().join("gone.json");
        refused(node, &["update", "c1", "--resources", gone.to_str().expect("UTF-8")], "", 1, "gone.json");
        assert_eq!(node.dunnage(["inspect", "c1", "-o", "json"]).expect(0).json()["status"], "running");
        node.dunnage(["delete", "c1", "--force"]).expect(0);
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_whoever_waits_tells_of_an_end_that_nobody_saw() {
    each_shim("privileged_whoever_waits_tells_of_an_end_that_nobody_saw", |node| {
        let started = detached(node, "c1", "sleep 1000");
        let pid =
            |value: &Value| Pid::from_raw(value.as_i64().expect("a pid").try_into().expect("a pid")).expect("a pid");
        let shim = pid(&started["shim_pid"]);
        let stat = fs::read_to_string(format!("/proc/{}/stat", shim.as_raw_nonzero())).expect("stat");
        let monitor: i32 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();
        for process in [Pid::from_raw(monitor).expect("a pid"), shim, pid(&started["pid"])] {
            kill_process(process, Signal::KILL).expect("kill");
        }
        assert_eq!(node.dunnage(["wait", "c1"]).expect(0).stdout, "137\n");
        let found = node.dunnage(["inspect", "c1", "-o", "json"]).expect(0).json();
        assert_eq!((&found["status"], &found["exit_code"]), (&"stopped".into(), &137.into()));
        assert!(found["ended"].is_string(), "{found}");
        node.dunnage(["wait", "c1"]).expect(0);
        node.dunnage(["delete", "c1", "--force"]).expect(0);
        let told = node.dunnage(["events", "--filter", "topic=exit", "--filter", "id=c1"]).expect(0).stdout;
        assert_eq!(told.lines().count(), 1, "{told}");
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_the_terminal_of_a_further_process_has_our_size_from_the_start() {
    each_shim("privileged_the_terminal_of_a_further_process_has_our_size_from_the_start", |node| {
        detached(node, "c1", "sleep 1000");
        for _ in 0..5 {
            let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
            grantpt(&ours).expect("grantpt");
            unlockpt(&ours).expect("unlockpt");
            let path = ptsname(&ours, Vec::new()).expect("its name");
            let theirs = File::options().read(true).write(true).open(path.to_str().expect("UTF-8")).expect("open it");
            tcsetwinsize(&ours, Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");
            let mut exec = node.scratch.command(["exec", "-t", "c1", "--", "stty", "size"]);
            let end = || Stdio::from(theirs.try_clone().expect("a copy"));
            let status = exec.stdin(end()).stdout(end()).stderr(end()).status().expect("exec");
            assert!(status.success());
            let mut printed = [0; 64];
            let count = rustix::io::read(&ours, &mut printed).expect("read");
            let printed = String::from_utf8_lossy(&printed[..count]).into_owned();
            assert!(printed.starts_with("33 77"), "{printed:?}");
        }
        node.dunnage(["delete", "c1", "--force"]).expect(0);
        node.expect_nothing_left();
    });
}
