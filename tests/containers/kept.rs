//! What others have made, or are doing, is not lost to starting, stopping and deleting.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use dunnage::shim::{ConnectOptions, Stop};
use dunnage::{ErrorKind, Spec};
use dunnage_tests::binary::run;
use dunnage_tests::containers::{Base, Node, ShimKind, possible};
use dunnage_tests::scratch::id;
use serde_json::{Value, json};

use super::methods::{block_on, options};

/// A node where `web` runs.
fn node_with_container(more: &[&str]) -> Node {
    let node = Node::new();
    let mut command = node.command(Base::Plain, "web", &["/bin/sleep", "1000"], &["--detach"]);
    run(command.args(more), []).expect(0);
    node
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_who_looks_at_a_bundle_is_not_killed() {
    if !possible("privileged_who_looks_at_a_bundle_is_not_killed") {
        return;
    }
    let node = node_with_container(&[]);
    let mut bystander = Command::new("sleep");
    let mut bystander = bystander.arg("1000").current_dir(node.scratch.bundle("web")).spawn().expect("sleep");
    node.dunnage(["delete", "web", "--force"]).expect(0);
    assert_eq!(bystander.try_wait().expect("its status"), None);
    bystander.kill().expect("kill");
    bystander.wait().expect("its end");
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_container_without_a_shim_is_not_forgotten() {
    if !possible("privileged_a_container_without_a_shim_is_not_forgotten") {
        return;
    }
    let node = node_with_container(&[]);
    node.dunnage(["shim", "stop", "web", "--kill"]).expect(0);
    // A shim that does not come up, or one that looks for runc's state elsewhere.
    for arguments in [["--shim-binary", "/bin/false"], ["--runtime-root", "/elsewhere"]] {
        let refused = node.dunnage(["shim", "start", "web"].into_iter().chain(arguments)).expect(6);
        assert!(refused.stderr.contains("but has no shim"), "{refused:?}");
        assert!(node.dunnage(["delete", "web"]).expect(6).stderr.contains("still running"));
    }
    node.dunnage(["delete", "web", "--force"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_failed_start_takes_back_only_what_it_made() {
    if !possible("privileged_a_failed_start_takes_back_only_what_it_made") {
        return;
    }
    let node = Node::new();
    node.create("web", &["/bin/true"]);
    node.dunnage(["shim", "start", "web"]).expect(0);
    let before = node.scratch.tree();
    // What is on file about a living shim may be spoiled: it lives all the same.
    let pid = fs::read(node.scratch.bundle("web").join("shim.pid")).expect("shim.pid");
    for spoiled in [&b"no number"[..], b""] {
        fs::write(node.scratch.bundle("web").join("shim.pid"), spoiled).expect("spoil it");
        node.dunnage(["shim", "start", "web"]).expect(1);
    }
    fs::remove_file(node.scratch.bundle("web").join("shim.pid")).expect("remove");
    node.dunnage(["shim", "start", "web"]).expect(6);
    fs::write(node.scratch.bundle("web").join("shim.pid"), &pid).expect("mend it");
    node.dunnage(["shim", "info", "web"]).expect(0);
    let names =
        |tree: &[String]| tree.iter().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(&node.scratch.tree()), names(&before));
    node.dunnage(["shim", "stop", "web"]).expect(0);
    // The next one fails, after it has taken the places on file: no word of it is left there, and
    // what else the first one left is there as it was.
    let before = names(&node.scratch.tree());
    node.dunnage(["shim", "start", "web", "--shim-binary", "/bin/false"]).expect(1);
    let (gone, stayed): (Vec<_>, Vec<_>) = before
        .into_iter()
        .partition(|name| ["state/default/web/address", "state/default/web/shim.pid"].contains(&name.as_str()));
    assert_eq!((names(&node.scratch.tree()), gone.len()), (stayed, 2));
    node.dunnage(["delete", "web"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_container_with_many_annotations_is_asked_and_deleted() {
    if !possible("privileged_a_container_with_many_annotations_is_asked_and_deleted") {
        return;
    }
    let node = Node::new();
    let spec = node.spec(Base::Plain, "web", &["/bin/sleep", "1000"], false);
    let mut content: Value = serde_json::from_slice(&fs::read(&spec).expect("the spec")).expect("JSON");
    content["annotations"] = json!({ "long": "x".repeat(300_000) });
    fs::write(&spec, content.to_string()).expect("write the spec");
    run(&mut node.command_of(Base::Plain, "web", &spec, &["--detach"]), []).expect(0);
    node.dunnage(["shim", "stop", "web", "--kill"]).expect(0);
    let listed = node.dunnage(["list", "--status", "-o", "json"]).expect(0).json();
    assert_eq!(listed[0]["status"], "running");
    node.dunnage(["delete", "web"]).expect(6);
    node.dunnage(["delete", "web", "--force"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_relative_runtime_root_is_ours_not_the_shims() {
    if !possible("privileged_a_relative_runtime_root_is_ours_not_the_shims") {
        return;
    }
    let node = Node::new();
    let mut command = node.scratch.command(["run", "web", "--detach", "--runtime-root", "runc"]);
    command.arg("--spec").arg(node.spec(Base::Plain, "web", &["/bin/sleep", "1000"], false));
    command.arg("--rootfs").arg(node.rootfs(Base::Plain)).current_dir(node.scratch.path());
    run(&mut command, []).expect(0);
    assert!(node.runtime_root().join("default/web/state.json").exists());
    node.dunnage(["shim", "stop", "web", "--kill"]).expect(0);
    node.dunnage(["delete", "web"]).expect(6);
    node.dunnage(["delete", "web", "--force"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_stopping_a_local_shim_ends_the_shim_alone() {
    if !possible("privileged_stopping_a_local_shim_ends_the_shim_alone") {
        return;
    }
    let node = Node::with(ShimKind::Local);
    let dunnage = node.scratch.dunnage();
    let spec = node.spec(Base::Plain, "web", &["/bin/true"], false);
    dunnage.create(&id("web"), &Spec::read_file(spec, u64::MAX).expect("a spec")).expect("a bundle");
    block_on(async {
        for _ in 0..2 {
            let shim = dunnage.local_shim(&id("web"), options(&node)).await.expect("a shim");
            // A client that connects does not own this process.
            let guest = dunnage.connect_shim(&id("web"), ConnectOptions::default()).await.expect("connect");
            assert_eq!(guest.pid(), std::process::id());
            let refused = guest.stop(Stop::Kill, Duration::from_secs(1)).await.expect_err("not ours to kill");
            assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
            let mut command = node.scratch.command(["shim", "stop", "web", "--kill"]);
            let mut command = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start");
            // This thread serves it meanwhile.
            let status = loop {
                match command.try_wait().expect("a status") {
                    Some(status) => break status,
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            };
            assert_eq!(status.code(), Some(1));
            assert_eq!(dunnage.delete(&id("web"), false).expect_err("it lives").kind(), ErrorKind::ShimAlive);
            shim.stop(Stop::Ask, Duration::from_secs(1)).await.expect("stop");
            assert_eq!(dunnage.inspect(&id("web")).expect("inspect").shim_alive, Some(false));
        }
    });
    dunnage.delete(&id("web"), false).expect("delete");
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_start_that_is_given_up_leaves_nothing() {
    if !possible("privileged_a_start_that_is_given_up_leaves_nothing") {
        return;
    }
    for kind in [ShimKind::Remote, ShimKind::Local] {
        let node = Node::with(kind);
        let dunnage = node.scratch.dunnage();
        let spec = node.spec(Base::Plain, "web", &["/bin/true"], false);
        dunnage.create(&id("web"), &Spec::read_file(spec, u64::MAX).expect("a spec")).expect("a bundle");
        let before = node.scratch.tree();
        block_on(async {
            for patience in [0, 1, 2, 5, 10, 20] {
                let patience = Duration::from_millis(patience);
                let given_up = match kind {
                    ShimKind::Remote => {
                        tokio::time::timeout(patience, dunnage.start_shim(&id("web"), options(&node))).await
                    }
                    ShimKind::Local => {
                        tokio::time::timeout(patience, dunnage.local_shim(&id("web"), options(&node))).await
                    }
                };
                if let Ok(shim) = given_up {
                    shim.expect("a shim").remove().await.expect("remove it");
                }
                // The next one waits for the locks of the one that was given up.
                let shim = loop {
                    match dunnage.start_shim(&id("web"), options(&node)).await {
                        Ok(shim) => break shim,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::ShimAlive, "{error}"),
                    }
                };
                shim.remove().await.expect("remove it");
            }
        });
        let here = |line: &String| line.starts_with("state/default/") || line.starts_with("root/default/");
        let names = |tree: Vec<String>| tree.into_iter().filter(here).collect::<Vec<_>>();
        assert_eq!(names(node.scratch.tree()), names(before));
        assert!(!Path::new(&node.scratch.state().join(".dunnage/shims/default/web")).exists());
        dunnage.delete(&id("web"), false).expect("delete");
        node.expect_nothing_left();
    }
}
