//! Shims that do not answer.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use dunnage_tests::containers::{Base, Node, possible};
use dunnage_tests::scratch::id;
use dunnage_tests::specs;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn send(pid: &Value, signal: Signal) {
    let pid = i32::try_from(pid.as_i64().expect("a pid")).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, signal).expect("a signal");
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_d13_mute_shims_keep_nobody_waiting() {
    if !possible("privileged_d13_mute_shims_keep_nobody_waiting") {
        return;
    }
    let node = Node::new();
    let mut shims = Vec::new();
    for name in ["a-lives", "b-stopped", "c-stopped", "d-stopped"] {
        let spec = node.spec(Base::Plain, name, &["/bin/sleep", "1000"], false);
        node.dunnage(["create", name, "--spec", spec.to_str().expect("UTF-8")]).expect(0);
        let started = node.dunnage(["shim", "start", name, "-o", "json"]).expect(0).json();
        if name != "a-lives" {
            send(&started["pid"], Signal::STOP);
        }
        shims.push(name);
    }
    // As many as are asked at once, several times over: a listener accepts, and never answers.
    let mute = node.scratch.sockets().join("mute");
    let _mute = UnixListener::bind(&mute).expect("a mute one");
    let dunnage = node.scratch.dunnage();
    let names: Vec<_> = (0..160).map(|number| format!("mute-{number}")).collect();
    for name in &names {
        dunnage.create(&id(name), &specs::plain()).expect("a bundle");
        let bundle: &Path = &node.scratch.bundle(name);
        fs::write(bundle.join("address"), format!("unix://{}", mute.display())).expect("address");
    }
    let started = Instant::now();
    let listed = node.dunnage(["list", "--status", "-o", "json"]).expect(0).json();
    let took = started.elapsed();
    let statuses: Vec<_> = listed.as_array().expect("a list").iter().map(|item| &item["status"]).collect();
    assert_eq!((statuses.len(), statuses[0].as_str()), (164, Some("none")));
    assert!(statuses[1..].iter().all(|status| *status == "unknown"), "{statuses:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    for name in names.iter().map(String::as_str).chain(shims) {
        dunnage.delete(&id(name), true).expect("delete");
    }
    fs::remove_file(mute).expect("remove");
    node.expect_nothing_left();
}
