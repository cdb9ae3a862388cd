//! Beside a real containerd 1.6 with its runtime v1: we read what it makes, and change nothing.

use std::process::Command;
use std::thread;
use std::time::Duration;

use dunnage_tests::containerd::Containerd;
use dunnage_tests::containers::{Base, Node, possible};
use dunnage_tests::scratch::tree;
use dunnage_tests::{binary, mounts};

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_what_containerd_made_is_found_and_not_changed() {
    if !possible("privileged_what_containerd_made_is_found_and_not_changed") {
        return;
    }
    let node = Node::new();
    mounts::private(|| {
        // The place of the sockets is built into containerd: this one is of the test's own.
        mounts::tmpfs("/run/containerd");
        let directory = node.scratch.path().join("containerd");
        let containerd = Containerd::start(&directory);
        let spec = node.spec(Base::Plain, "theirs", &["/bin/sleep", "1000"], false);
        node.name_rootfs(Base::Plain, &spec);
        let mut run = containerd.ctr([
            "--namespace",
            "moby",
            "run",
            "--detach",
            "--runtime",
            "io.containerd.runtime.v1.linux",
            "--rootfs",
        ]);
        // With a spec of our own, the root file system is the first argument.
        run.arg("--config").arg(&spec).args(["theirs"]);
        let plain = |mut command: Command| {
            let outcome = binary::run(&mut command, []);
            assert_eq!(outcome.code, Some(0), "{outcome:?}");
        };
        plain(run);

        let state = directory.join("state/io.containerd.runtime.v1.linux");
        let root = directory.join("root/io.containerd.runtime.v1.linux");
        let before = (tree(&state), tree(&root));
        let ours = |arguments: &[&str]| {
            let mut command = binary::command(binary::Build::Default, arguments);
            command.arg("--state").arg(&state).arg("--root").arg(&root).args([
                "--namespace",
                "moby",
                "-o",
                "json",
                "--address",
            ]);
            binary::run(command.arg(containerd.socket()), []).expect(0).json()
        };
        let listed = ours(&["list"]);
        assert_eq!(listed[0]["id"], "theirs", "{listed}");
        let inspected = ours(&["inspect", "theirs"]);
        assert_eq!(inspected["shim_alive"], true, "{inspected}");
        let info = ours(&["shim", "info", "theirs"]);
        assert_eq!((&info["pid"], &info["address"]), (&inspected["shim_pid"], &inspected["address"]));
        assert_eq!(ours(&["shim", "address", "theirs"])["address"], inspected["address"]);
        assert_eq!(ours(&["list", "--status"])[0]["status"], "running");
        assert_eq!((tree(&state), tree(&root)), before);

        plain(containerd.ctr(["--namespace", "moby", "task", "kill", "--signal", "SIGKILL", "theirs"]));
        for _ in 0..200 {
            if containerd
                .ctr(["--namespace", "moby", "task", "delete", "theirs"])
                .status()
                .is_ok_and(|status| status.success())
            {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        drop(containerd);
        for (pid, _) in node.processes() {
            let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        mounts::umount("/run/containerd");
    });
}
