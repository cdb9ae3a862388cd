//! Beside a real containerd 1.6 with its runtime v1: we read what it makes, and change nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use dunnage_tests::containers::{Base, Node, possible};
use dunnage_tests::scratch::tree;
use dunnage_tests::{binary, mounts};

/// A containerd of the test's own, ended with it.
struct Containerd {
    process: Child,
    socket: PathBuf,
}

impl Containerd {
    fn start(directory: &Path) -> Self {
        let path = |name: &str| directory.join(name);
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.snapshotter.v1.devmapper\"]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            path("root"),
            path("state"),
            path("c.sock"),
            path("t.sock"),
        );
        fs::create_dir_all(directory).expect("a directory");
        fs::write(path("config.toml"), config).expect("a configuration");
        let log = fs::File::create(path("log")).expect("a log");
        let process = Command::new("containerd")
            .arg("--config")
            .arg(path("config.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("containerd");
        let containerd = Self { process, socket: path("c.sock") };
        for _ in 0..600 {
            if containerd.ctr(["version"]).status().is_ok_and(|status| status.success()) {
                return containerd;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("containerd does not come up: {}", fs::read_to_string(path("log")).unwrap_or_default());
    }

    fn ctr<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(&self.socket).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
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
        let rootfs = node.rootfs(Base::Plain);
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
        let mut spec_with_rootfs: serde_json::Value =
            serde_json::from_slice(&fs::read(&spec).expect("the spec")).expect("JSON");
        spec_with_rootfs["root"]["path"] = rootfs.to_str().expect("UTF-8").into();
        fs::write(&spec, spec_with_rootfs.to_string()).expect("write the spec");
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
            binary::run(command.arg(&containerd.socket), []).expect(0).json()
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
