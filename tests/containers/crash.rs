//! SIGKILL of the shim, of our process, of both, at every stage of `run`: what is said afterwards
//! is true, and deleting works.

use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use dunnage_tests::containers::{Base, Node, ShimKind, possible};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// Which process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Ourselves,
    Shim,
    Both,
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    // It may be gone by itself.
    let _ = kill_process(pid, Signal::KILL);
}

/// The same, and waits: a process is there until the last of its threads has ended, when it has long
/// lost its command line.
fn kill_to_the_end(pid: u32) {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    let Ok(handle) = pidfd_open(process, PidfdFlags::empty()) else { return };
    kill(pid);
    let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&patience)).expect("poll");
    assert_eq!(ended, 1, "{pid} is killed and does not end");
}

fn shims(node: &Node) -> Vec<u32> {
    node.processes().into_iter().filter(|(_, line)| line.starts_with("containerd-shim ")).map(|(pid, _)| pid).collect()
}

/// Ends what runc leaves when it is killed half-way, as containerd's shim does when it is killed
/// itself: an init that belongs to no container yet and is recorded nowhere.
fn end_orphans(node: &Node) {
    node.processes().into_iter().filter(|(_, line)| line.starts_with("runc init")).for_each(|(pid, _)| kill(pid));
}

/// Whether nothing runs but what may take a moment to end.
fn is_quiet(node: &Node) -> bool {
    (0..100).any(|_| {
        end_orphans(node);
        let quiet = node.processes().is_empty();
        if !quiet {
            thread::sleep(Duration::from_millis(10));
        }
        quiet
    })
}

fn killed_at(node: &Node, victim: Victim, delay: Duration) {
    let mut command = node.command(Base::Plain, "victim", &["/bin/sleep", "1000"], &["--rm"]);
    let mut child: Child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("start");
    thread::sleep(delay);
    if victim != Victim::Ourselves {
        shims(node).into_iter().for_each(kill_to_the_end);
    }
    if victim != Victim::Shim {
        child.kill().expect("kill");
    } else {
        // Without a shim there is nothing to wait for; one that starts later is ended as usual.
        thread::sleep(Duration::from_millis(100));
        kill_process(Pid::from_child(&child), Signal::TERM).expect("kill");
    }
    child.wait().expect("the end");
    let what = format!("{victim:?} after {delay:?}");
    if node.scratch.bundle("victim").exists() {
        let found = node.dunnage(["inspect", "victim", "-o", "json"]).expect(0).json();
        let running = shims(node);
        let claimed = found["shim_alive"] == true;
        let pid = found["shim_pid"].as_u64();
        assert_eq!(
            claimed,
            pid.is_some_and(|pid| running.iter().any(|shim| u64::from(*shim) == pid)),
            "{what}: {found}"
        );
    }
    // Without force it is deleted only if nothing runs any more.
    let gently = node.dunnage(["delete", "victim"]);
    match gently.code {
        Some(0) => assert!(is_quiet(node), "{what}: {:?}", node.processes()),
        Some(6) => {
            node.dunnage(["delete", "victim", "--force"]).expect(0);
        }
        _ => panic!("{what}: {gently:?}"),
    }
    assert!(is_quiet(node), "{what}: {:?}", node.processes());
    node.dunnage(["recover"]).expect(0);
    node.expect_only_cgroups_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_killed_at_every_stage_of_run() {
    if !possible("privileged_killed_at_every_stage_of_run") {
        return;
    }
    for shim in [ShimKind::Remote, ShimKind::Local] {
        let node = Node::with(shim);
        for victim in [Victim::Ourselves, Victim::Shim, Victim::Both] {
            // A run takes some 100 ms until its container runs.
            for step in 0..20 {
                killed_at(&node, victim, Duration::from_millis(step * 8));
            }
        }
        // And the next one works as usual.
        node.run(Base::Plain, "victim", &["/bin/true"], []).expect(0);
        node.expect_nothing_left();
    }
}
