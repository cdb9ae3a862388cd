//! The monitor of a shim: it stays behind, and does no harm.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use dunnage::shim::Stop;
use dunnage::{ErrorKind, Spec};
use dunnage_tests::binary::{self, run};
use dunnage_tests::containers::{Base, Node, possible};
use dunnage_tests::scratch::id;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process, pidfd_getfd, pidfd_open};

use super::methods::{block_on, options};

/// A number in the status of a process, such as its parent's id.
fn status(pid: u64, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
    let value = status.lines().find_map(|line| line.strip_prefix(field)).expect(field);
    value.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number")
}

fn send(pid: u64, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("a signal");
}

/// Waits until a process has ended; its parent may reap it late, or must.
fn expect_ended(pid: u64, reaped: bool) {
    for _ in 0..500 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
        match stat.as_ref().map(|stat| stat.rsplit_once(") ")) {
            Err(_) => return,
            Ok(Some((_, state))) if state.starts_with('Z') && !reaped => return,
            Ok(_) => {}
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{}", fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default());
}

/// The sockets that a process has open, for us too.
fn sockets_of(pid: u64) -> Vec<OwnedFd> {
    let process = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    let process = pidfd_open(process, PidfdFlags::empty()).expect("a process");
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").flatten();
    let is_socket = |entry: &fs::DirEntry| {
        fs::read_link(entry.path()).is_ok_and(|target| target.to_str().is_some_and(|name| name.starts_with("socket:")))
    };
    let numbers = open.filter(is_socket).filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.map(|number| pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).expect("a socket")).collect()
}

/// A node with a bundle `web`.
fn node_with_bundle() -> Node {
    let node = Node::new();
    node.create("web", &["/bin/sleep", "1000"]);
    node
}

/// Starts the shim of `web`; its process id.
fn start(node: &Node) -> u64 {
    node.dunnage(["shim", "start", "web", "-o", "json"]).expect(0).json()["pid"].as_u64().expect("a pid")
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_d3_a_late_monitor_leaves_the_next_shim_its_socket() {
    if !possible("privileged_d3_a_late_monitor_leaves_the_next_shim_its_socket") {
        return;
    }
    let node = node_with_bundle();
    for _ in 0..3 {
        let late = status(start(&node), "PPid");
        send(late, Signal::STOP);
        node.dunnage(["shim", "stop", "web"]).expect(0);
        // Its socket may well get the number of the first one's inode.
        let next = start(&node);
        send(late, Signal::CONT);
        expect_ended(late, false);
        let info = node.dunnage(["shim", "info", "web", "-o", "json"]).expect(0).json();
        assert_eq!(info["pid"], next);
        let record = node.scratch.state().join(".dunnage/shims/default/web/record.json");
        assert!(fs::read_to_string(record).expect("the record").contains("\"exited\":null"));
        node.dunnage(["shim", "stop", "web"]).expect(0);
    }
    node.dunnage(["delete", "web"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_the_monitor_drains_the_shim_and_records_its_end() {
    if !possible("privileged_the_monitor_drains_the_shim_and_records_its_end") {
        return;
    }
    let node = node_with_bundle();
    let shim = start(&node);
    let monitor = status(shim, "PPid");
    // No terminal's signal is meant for it.
    let stat = fs::read_to_string(format!("/proc/{monitor}/stat")).expect("its stat");
    let fields: Vec<_> = stat.rsplit_once(") ").expect("fields").1.split(' ').collect();
    assert_eq!((fields[2], fields[3]), (&*monitor.to_string(), &*monitor.to_string()), "group and session");
    let fifo = node.scratch.work_dir("web").join("shim.stdout.log");
    // More than a pipe holds: this hangs if nothing reads.
    fs::write(fifo, "a line of the shim\n".repeat(20_000)).expect("the shim's output");
    send(shim, Signal::KILL);
    expect_ended(monitor, false);
    let kept = node.scratch.state().join(".dunnage/shims/default/web");
    let log = fs::read_to_string(kept.join("log")).expect("the log");
    assert!(log.ends_with("a line of the shim\n"), "{:?}", &log[log.len().saturating_sub(80)..]);
    let record = fs::read_to_string(kept.join("record.json")).expect("the record");
    assert!(!record.contains("\"exited\":null"), "{record}");
    assert_eq!(fs::read_dir(node.scratch.sockets()).expect("the sockets").count(), 0);
    assert_eq!(node.dunnage(["inspect", "web", "-o", "json"]).expect(0).json()["shim_alive"], false);
    node.dunnage(["delete", "web"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_without_its_monitor_a_container_runs_on() {
    if !possible("privileged_without_its_monitor_a_container_runs_on") {
        return;
    }
    let node = Node::new();
    let mut command = node.command(Base::Plain, "web", &["/bin/sleep", "1000"], &["--detach", "-o", "json"]);
    let started = run(&mut command, []).expect(0).json();
    let monitor = status(started["shim_pid"].as_u64().expect("a pid"), "PPid");
    send(monitor, Signal::KILL);
    expect_ended(monitor, false);
    let listed = node.dunnage(["list", "--status", "-o", "json"]).expect(0).json();
    assert_eq!(listed[0]["status"], "running");
    assert!(Path::new(&format!("/proc/{}", started["pid"])).exists());
    node.dunnage(["delete", "web", "--force"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_socket_on_record_goes_whoever_still_has_it_open() {
    if !possible("privileged_a_socket_on_record_goes_whoever_still_has_it_open") {
        return;
    }
    let node = node_with_bundle();
    let shim = start(&node);
    let monitor = status(shim, "PPid");
    send(monitor, Signal::KILL);
    expect_ended(monitor, false);
    // A monitor that got no plan holds it until it sees that none will come.
    let held = sockets_of(shim);
    send(shim, Signal::KILL);
    expect_ended(shim, false);
    let socket =
        fs::read_dir(node.scratch.sockets()).expect("the sockets").next().expect("a socket").expect("an entry");
    UnixStream::connect(socket.path()).expect("somebody listens");
    let deleted = node.dunnage(["delete", "web"]).expect(0);
    assert_eq!(deleted.stderr, "");
    node.expect_nothing_left();
    drop(held);
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_daemon_reaps_its_monitors() {
    if !possible("privileged_a_daemon_reaps_its_monitors") {
        return;
    }
    let node = node_with_bundle();
    let dunnage = node.scratch.dunnage();
    block_on(async {
        let mut options = options(&node);
        options.monitor = Some(binary::path(binary::Build::Default).to_owned());
        let shim = dunnage.start_shim(&id("web"), options).await.expect("a shim");
        let monitor = status(shim.pid().into(), "PPid");
        assert_eq!(status(monitor, "PPid"), u64::from(std::process::id()));
        shim.stop(Stop::Ask, Duration::from_secs(10)).await.expect("stop");
        tokio::task::spawn_blocking(move || expect_ended(monitor, true)).await.expect("it is reaped");
    });
    dunnage.delete(&id("web"), false).expect("delete");
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_monitor_that_hangs_is_given_up() {
    if !possible("privileged_a_monitor_that_hangs_is_given_up") {
        return;
    }
    let node = Node::new();
    let dunnage = node.scratch.dunnage();
    let spec = node.spec(Base::Plain, "web", &["/bin/true"], false);
    dunnage.create(&id("web"), &Spec::read_file(spec, u64::MAX).expect("a spec")).expect("a bundle");
    let hanging = node.scratch.path().join("hanging");
    fs::write(&hanging, "#!/bin/sh\n/bin/sleep 1000\n").expect("a script");
    fs::set_permissions(&hanging, fs::Permissions::from_mode(0o755)).expect("chmod");
    block_on(async {
        let mut options = options(&node);
        options.monitor = Some(hanging);
        options.timeout = Duration::from_millis(500);
        let started = Instant::now();
        let error = dunnage.start_shim(&id("web"), options).await.expect_err("it hangs");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    });
    dunnage.delete(&id("web"), false).expect("delete");
    node.expect_nothing_left();
}
