//! Clients of shims that a caller gets in its own way.

use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dunnage::shim::{ConnectOptions, ShimClient, ShimConnect, ShimLocal, ShimRemote, ShimRequest, Stop};
use dunnage::{ErrorKind, RuncOptions, ShimOptions, Spec};
use dunnage_tests::Scratch;
use dunnage_tests::containers::{Base, Node, possible};
use dunnage_tests::scratch::id;
use dunnage_tests::specs;

use super::methods::{block_on, options};

type Failed = Box<dyn std::error::Error>;

/// Starts the real shim as the policy says, where no bundle manager would have it.
async fn start_elsewhere(request: &ShimRequest, address: &str) -> Result<(Child, ShimClient), Failed> {
    let publisher = Path::new("/bin/true");
    let arguments = request.dunnage.shim_start_arguments(&request.bundle, &request.config, publisher, false)?;
    let mut command = Command::new("containerd-shim");
    command.args(arguments).args(["-socket", address]).current_dir(request.bundle.path());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    // Debian's shim is built by a Go that counts a trailing NUL as part of the name.
    let names = [format!("{address}\0"), address.to_owned()];
    for _ in 0..500 {
        for name in &names {
            if let Ok(socket) = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?) {
                return Ok((child, ShimClient::on(socket)?));
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("the shim does not listen".into())
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_callers_own_way_to_a_shim() {
    if !possible("privileged_a_callers_own_way_to_a_shim") {
        return;
    }
    let node = Node::new();
    let dunnage = node.scratch.dunnage();
    let spec = node.spec(Base::Plain, "web", &["/bin/true"], false);
    dunnage.create(&id("web"), &Spec::read_file(spec, u64::MAX).expect("a spec")).expect("a bundle");
    let root = node.runtime_root().to_str().expect("UTF-8").to_owned();
    let settings = ShimOptions {
        runtime_root: "/elsewhere".to_owned(),
        runc: Some(RuncOptions { runtime_root: root.clone(), systemd_cgroup: false }),
    };
    block_on(async {
        let address = format!("/dunnage-test/{}.sock", std::process::id());
        let own = async |request: ShimRequest| {
            // The container's own root wins, as the policy has decided.
            assert_eq!(request.config.runtime_root, root);
            assert_eq!(request.runc.as_ref().map(|runc| &runc.runtime_root), Some(&root));
            start_elsewhere(&request, &address).await
        };
        let (mut child, client) = dunnage.shim_client(&id("web"), own, &settings).await.expect("a client");
        assert_eq!(client.shim_info().await.expect("ShimInfo"), child.id());
        assert_eq!(client.state("web").await.expect_err("no task").kind(), ErrorKind::NoTask);
        child.kill().expect("kill");
        child.wait().expect("its end");
        assert_eq!(client.shim_info().await.expect_err("it is gone").kind(), ErrorKind::Shim);
        // What it fails with is its own.
        let failing = async |_: ShimRequest| Err::<(), Failed>("no way".into());
        let error = dunnage.shim_client(&id("web"), failing, &settings).await.expect_err("it fails");
        assert_eq!(error.to_string(), "no way");
        // The usual ways.
        let remote = ShimRemote(options(&node));
        let shim = dunnage.shim_client(&id("web"), remote, &options(&node).settings).await.expect("a shim");
        let connect = ShimConnect(ConnectOptions::default());
        let same = dunnage.shim_client(&id("web"), connect, &ShimOptions::default()).await.expect("the same");
        assert_eq!(same.pid(), shim.pid());
        shim.stop(Stop::Ask, Duration::from_secs(10)).await.expect("stop");
        let local = ShimLocal(options(&node));
        let shim = dunnage.shim_client(&id("web"), local, &options(&node).settings).await.expect("a shim");
        assert_eq!(shim.pid(), std::process::id());
        shim.remove().await.expect("remove");
    });
    dunnage.delete(&id("web"), false).expect("delete");
    node.expect_nothing_left();
}

#[test]
fn only_the_dead_socket_of_the_bundle_is_removed() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    assert_eq!(dunnage.remove_socket(&id("web")).expect_err("no bundle").kind(), ErrorKind::NotFound);
    dunnage.create(&id("web"), &specs::plain()).expect("a bundle");
    assert!(!dunnage.remove_socket(&id("web")).expect("there is none"));
    fs::create_dir(scratch.sockets()).expect("the socket directory");
    let address = dunnage.shim_address(&id("web")).expect("an address");
    let path = Path::new(address.strip_prefix("unix://").expect("a path"));
    let other = scratch.sockets().join("other");
    drop(UnixListener::bind(&other).expect("another socket"));
    // An address on file that leads elsewhere is not followed (defect D12).
    fs::write(scratch.bundle("web").join("address"), format!("unix://{}", other.display())).expect("address");
    let owner = UnixListener::bind(path).expect("a live one");
    assert_eq!(dunnage.remove_socket(&id("web")).expect_err("it lives").kind(), ErrorKind::ShimAlive);
    drop(owner);
    assert!(dunnage.remove_socket(&id("web")).expect("it is dead"));
    assert!(!path.exists() && other.exists());
    fs::write(path, "data").expect("a file");
    assert_eq!(dunnage.remove_socket(&id("web")).expect_err("no socket").kind(), ErrorKind::ShimAlive);
    assert!(path.exists());
}
