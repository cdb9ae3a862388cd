//! A real containerd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// A containerd of the test's own, ended with it.
pub struct Containerd {
    process: Child,
    socket: PathBuf,
}

impl Containerd {
    /// Starts one with everything it keeps in a directory, and waits until it answers.
    ///
    /// The place of the sockets of its shims, `/run/containerd`, is built into it: mount something
    /// of the test's own there.
    pub fn start(directory: &Path) -> Self {
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

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A command of its client.
    pub fn ctr<const N: usize>(&self, arguments: [&str; N]) -> Command {
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
