//! Living shims where older versions of containerd had them: at abstract addresses.

use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use dunnage_tests::containers::{Node, possible};

/// A shim that listens at an abstract address, as it does when it gets no socket.
struct OldShim(Child);

impl OldShim {
    fn at(node: &Node, address: &str) -> Self {
        let mut command = Command::new("containerd-shim");
        command.args(["-namespace", "default", "-socket", address, "-address", "", "-workdir"]);
        command.arg(node.scratch.work_dir("web")).arg("-runtime-root").arg(node.runtime_root());
        command.current_dir(node.scratch.bundle("web"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let shim = Self(command.spawn().expect("containerd-shim"));
        // Debian's shim is built by a Go that counts a trailing NUL as part of the name.
        let addresses = [format!("{address}\0"), address.to_owned()];
        let addresses = addresses.map(|name| SocketAddr::from_abstract_name(name).expect("an address"));
        for _ in 0..500 {
            if addresses.iter().any(|address| UnixStream::connect_addr(address).is_ok()) {
                return shim;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("the shim does not listen");
    }
}

impl Drop for OldShim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_old_shims_are_asked_and_stopped_if_that_is_allowed() {
    if !possible("privileged_old_shims_are_asked_and_stopped_if_that_is_allowed") {
        return;
    }
    let node = Node::new();
    node.create("web", &["/bin/sleep", "1000"]);
    let legacy = node.dunnage(["shim", "address", "web", "--legacy"]).expect(0).stdout.trim().to_owned();
    assert_eq!(legacy, "/containerd-shim/default/web/shim.sock");
    // Later versions had a hash there, and the address on file.
    let hashed = format!("/containerd-shim/{:064x}.sock", std::process::id());
    for (address, on_file) in [(&legacy, false), (&hashed, true)] {
        let mut shim = OldShim::at(&node, address);
        if on_file {
            fs::write(node.scratch.bundle("web").join("address"), address).expect("address");
        }
        let refused = node.dunnage(["shim", "info", "web"]).expect(5);
        assert!(refused.stderr.contains("legacy"), "{refused:?}");
        // Nothing but the bundle as its working directory and its answer says whose shim it is.
        let info = node.dunnage(["shim", "info", "web", "--allow-legacy", "-o", "json"]).expect(0).json();
        assert_eq!((&info["pid"], &info["address"]), (&shim.0.id().into(), &address.as_str().into()));
        // Another process may have the address as well as a pid on file.
        fs::write(node.scratch.bundle("web").join("shim.pid"), std::process::id().to_string()).expect("shim.pid");
        let foreign = node.dunnage(["shim", "stop", "web", "--allow-legacy"]).expect(1);
        assert!(foreign.stderr.contains("the recorded shim is process"), "{foreign:?}");
        fs::write(node.scratch.bundle("web").join("shim.pid"), shim.0.id().to_string()).expect("shim.pid");
        assert!(node.dunnage(["delete", "web"]).expect(6).stderr.contains("still running"));
        assert_eq!(node.dunnage(["inspect", "web", "-o", "json"]).expect(0).json()["shim_alive"], true);
        // It is our child, and must be reaped before it counts as ended.
        let reaper = thread::spawn(move || shim.0.wait().map(drop));
        let stopped = node.dunnage(["shim", "stop", "web", "--allow-legacy", "-o", "json"]).expect(0).json();
        assert_eq!(stopped["address"], address.as_str());
        reaper.join().expect("a thread").expect("its end");
        fs::remove_file(node.scratch.bundle("web").join("shim.pid")).expect("remove shim.pid");
    }
    node.dunnage(["delete", "web"]).expect(0);
    node.expect_nothing_left();
}
