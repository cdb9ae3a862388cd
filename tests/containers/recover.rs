//! What shims leave when they are killed is recovered, and what lives is not touched.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use dunnage_tests::binary::run;
use dunnage_tests::containers::{Base, Node, possible};
use dunnage_tests::mounts;
use rustix::process::{Pid, Signal, kill_process};

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    let _ = kill_process(pid, Signal::KILL);
}

/// Kills the monitor of a shim: its parent.
fn kill_monitor(shim: u32) {
    let status = fs::read_to_string(format!("/proc/{shim}/status")).expect("its status");
    let parent: u32 =
        status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok()).expect("a parent");
    assert!(fs::read_to_string(format!("/proc/{parent}/cmdline")).expect("a parent").starts_with("dunnage-monitor"));
    kill(parent);
    while fs::read_to_string(format!("/proc/{shim}/status")).expect("it lives").contains(&format!("PPid:\t{parent}\n"))
    {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Kills what matches, and waits until it is gone.
fn kill_all(node: &Node, matches: impl Fn(&str) -> bool) {
    let of = |node: &Node| node.processes().into_iter().filter(|(_, line)| matches(line)).collect::<Vec<_>>();
    of(node).iter().for_each(|(pid, _)| kill(*pid));
    for _ in 0..500 {
        if of(node).is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{:?}", node.processes());
}

/// What was found, as `KIND FATE`. A process that was killed is there until the last of its threads
/// has ended, and then only recovery is done.
fn recover(node: &Node, code: i32) -> Vec<String> {
    let mut outcome = node.dunnage(["recover", "-o", "json"]);
    for _ in 0..200 {
        if outcome.code == Some(code) {
            break;
        }
        thread::sleep(Duration::from_millis(10));
        outcome = node.dunnage(["recover", "-o", "json"]);
    }
    let report = outcome.expect(code).json();
    let findings = report["findings"].as_array().expect("findings").iter();
    findings
        .map(|found| format!("{} {}", found["kind"].as_str().expect("text"), found["fate"].as_str().expect("text")))
        .collect()
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_what_lives_is_not_touched_and_what_is_dead_is_recovered() {
    if !possible("privileged_what_lives_is_not_touched_and_what_is_dead_is_recovered") {
        return;
    }
    let node = Node::new();
    let detached = |id: &str| {
        run(&mut node.command(Base::Plain, id, &["/bin/sleep", "1000"], &["--detach"]), []).expect(0);
    };
    detached("alive");
    detached("lonely");
    detached("dead");
    // The first loses its shim; the second loses its shim and its container, and what was mounted
    // stays.
    let [lonely, dead] = ["lonely", "dead"].map(|id| node.dunnage(["shim", "info", id, "-o", "json"]).expect(0).json());
    for info in [&lonely, &dead] {
        let shim = u32::try_from(info["pid"].as_u64().expect("a pid")).expect("a pid");
        kill_monitor(shim);
        kill(shim);
    }
    let state = node.runtime_root().join("default/dead/state.json");
    let state: serde_json::Value = serde_json::from_slice(&fs::read(state).expect("runc's state")).expect("JSON");
    kill(u32::try_from(state["init_process_pid"].as_u64().expect("a pid")).expect("a pid"));
    let socket = |info: &serde_json::Value| info["address"].as_str().expect("text").replace("unix://", "");
    assert!(!mounts::below(node.scratch.bundle("dead")).is_empty() && fs::exists(socket(&dead)).expect("look"));
    // Shims are dead once the last of their threads has ended.
    thread::sleep(Duration::from_millis(500));

    assert_eq!(recover(&node, 0), ["shim removed", "shim kept"]);
    assert!(mounts::below(node.scratch.bundle("dead")).is_empty());
    assert!(!fs::exists(socket(&dead)).expect("look"), "{:?}", node.dunnage(["recover", "-o", "json"]));
    assert!(fs::exists(socket(&lonely)).expect("look"));
    assert!(!node.scratch.bundle("dead").join("address").exists());
    // A recovered bundle is a bundle like any other.
    assert_eq!(recover(&node, 0), ["shim kept"]);
    node.dunnage(["shim", "start", "dead"]).expect(0);
    node.dunnage(["shim", "stop", "dead"]).expect(0);
    node.dunnage(["delete", "dead"]).expect(0);
    let listed = node.dunnage(["list", "--status", "-o", "json"]).expect(0).json();
    let status = |index: usize| (listed[index]["id"].clone(), listed[index]["status"].clone());
    assert_eq!([status(0), status(1)], [("alive".into(), "running".into()), ("lonely".into(), "running".into())]);
    for id in ["alive", "lonely"] {
        node.dunnage(["delete", id, "--force"]).expect(0);
    }
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_start_that_was_cut_short_is_recovered() {
    if !possible("privileged_a_start_that_was_cut_short_is_recovered") {
        return;
    }
    let node = Node::new();
    node.create("web", &["/bin/true"]);
    for step in 0..15 {
        let mut command = node.scratch.command(["shim", "start", "web", "--state"]);
        // An argument by which its broker is found too.
        let mut child =
            command.arg(node.scratch.state()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start");
        thread::sleep(Duration::from_millis(step));
        child.kill().expect("kill");
        child.wait().expect("its end");
        // A broker or a monitor may just be starting the shim.
        for _ in 0..300 {
            recover(&node, 0);
            if !node.processes().is_empty() && node.scratch.bundle("web").join("address").exists() {
                // It had come up before.
                node.dunnage(["shim", "stop", "web"]).expect(0);
            }
            if node.processes().is_empty() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        recover(&node, 0);
        assert_eq!(node.processes(), []);
        assert!(!node.scratch.state().join(".dunnage/shims/default/web").exists(), "{step}");
        assert_eq!(
            node.dunnage(["inspect", "web", "-o", "json"]).expect(0).json()["shim_pid"],
            serde_json::Value::Null
        );
    }
    node.dunnage(["delete", "web"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_records_without_a_bundle_go_with_their_socket() {
    if !possible("privileged_records_without_a_bundle_go_with_their_socket") {
        return;
    }
    let node = Node::new();
    node.create("web", &["/bin/true"]);
    node.dunnage(["shim", "start", "web"]).expect(0);
    fs::remove_dir_all(node.scratch.bundle("web")).expect("remove the bundle");
    // It is unclear what a shim without its bundle is still needed for.
    let found = recover(&node, 1);
    assert!(found.contains(&"shim undecided".to_owned()), "{found:?}");
    let info = node.processes();
    let shim = info.iter().find(|(_, line)| line.starts_with("containerd-shim")).expect("the shim");
    kill_monitor(shim.0);
    kill_all(&node, |line| line.starts_with("containerd-shim"));
    let found = recover(&node, 0);
    assert!(found.contains(&"shim removed".to_owned()), "{found:?}");
    node.expect_nothing_left();
}
