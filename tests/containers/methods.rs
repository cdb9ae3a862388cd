//! The library: all methods of a shim, through one client, with the real shim and with our own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use dunnage::shim::protocol::shim::{CreateTaskRequest, ExecProcessRequest};
use dunnage::shim::protocol::task::Status;
use dunnage::shim::protocol::types::Mount;
use dunnage::shim::{ConnectOptions, Shim, ShimClient, StartOptions, Stop, TaskStatus};
use dunnage::{Dunnage, ErrorKind, ShimOptions, Spec};
use dunnage_tests::containers::{Base, Node, ShimKind, possible};
use dunnage_tests::scratch::id;
use rustix::process::{Pid, Signal, kill_process};

const STEP_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work);
    // Tasks note what has ended.
    runtime.shutdown_timeout(STEP_TIMEOUT);
}

pub(crate) fn options(node: &Node) -> StartOptions {
    let mut options = StartOptions::default();
    // Our own binary answers `publish`; the test's would not.
    options.publisher = Some(dunnage_tests::binary::path(dunnage_tests::binary::Build::Default).to_owned());
    options.settings =
        ShimOptions { runtime_root: node.runtime_root().to_str().expect("UTF-8").to_owned(), ..ShimOptions::default() };
    options
}

/// A bundle with a shim, and the request that makes its container.
async fn start(node: &Node, dunnage: &Dunnage, kind: ShimKind, options: StartOptions) -> (Shim, CreateTaskRequest) {
    let spec = node.spec(Base::Plain, "web", &["/bin/sleep", "1000"], false);
    dunnage.create(&id("web"), &Spec::read_file(spec, u64::MAX).expect("a spec")).expect("a bundle");
    started(node, dunnage, kind, options).await
}

fn mount(kind: &str, source: &str, options: Vec<String>) -> Mount {
    Mount { type_: kind.to_owned(), source: source.to_owned(), options, ..Mount::default() }
}

/// The same for a bundle that is there.
async fn started(node: &Node, dunnage: &Dunnage, kind: ShimKind, options: StartOptions) -> (Shim, CreateTaskRequest) {
    let shim = match kind {
        ShimKind::Remote => dunnage.start_shim(&id("web"), options).await.expect("a shim"),
        ShimKind::Local => dunnage.local_shim(&id("web"), options).await.expect("a shim"),
    };
    let rootfs = node.rootfs(Base::Plain);
    let request = CreateTaskRequest {
        id: "web".to_owned(),
        bundle: node.scratch.bundle("web").to_str().expect("UTF-8").to_owned(),
        rootfs: vec![mount("bind", rootfs.to_str().expect("UTF-8"), vec!["rbind".to_owned()])],
        ..CreateTaskRequest::default()
    };
    (shim, request)
}

fn criu_is_installed() -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|path| path.join("criu").exists())
}

async fn status(client: &ShimClient) -> Status {
    client.state("web").await.expect("its state").status.enum_value().expect("a known status")
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_every_method_answers() {
    if !possible("privileged_every_method_answers") {
        return;
    }
    for kind in [ShimKind::Remote, ShimKind::Local] {
        let node = Node::with(kind);
        let dunnage = node.scratch.dunnage();
        let ended = Arc::new(AtomicBool::new(false));
        block_on(async {
            let mut options = options(&node);
            let noted = Arc::clone(&ended);
            options.on_exit = Some(Box::new(move || noted.store(true, Ordering::SeqCst)));
            let (shim, request) = start(&node, &dunnage, kind, options).await;
            let client = shim.client().clone();
            assert_eq!(client.shim_info().await.expect("ShimInfo"), shim.pid());
            assert_eq!(client.state("web").await.expect_err("no task yet").kind(), ErrorKind::NoTask);
            assert_eq!(dunnage.task_status(&id("web")).await.expect("a status"), TaskStatus::None);
            let pid = client.create(&request).await.expect("Create");
            assert_eq!(status(&client).await, Status::CREATED);
            assert_eq!(client.start("web").await.expect("Start"), pid);
            assert_eq!(status(&client).await, Status::RUNNING);
            assert!(client.list_pids("web").await.expect("ListPids").contains(&pid));
            exec(&client).await;
            client.pause().await.expect("Pause");
            assert_eq!(dunnage.task_status(&id("web")).await.expect("a status"), TaskStatus::Paused);
            client.resume().await.expect("Resume");
            client.update(br#"{"cpu":{"shares":512}}"#).await.expect("Update");
            assert_eq!(client.update(b"").await.expect_err("no resources").kind(), ErrorKind::InvalidConfig);
            // Without criu this is an error that says so, and nothing else.
            let image = node.scratch.path().join("image");
            let checkpoint = client.checkpoint(image.to_str().expect("UTF-8")).await;
            if !criu_is_installed() {
                let error = checkpoint.expect_err("there is no criu");
                assert!(error.to_string().contains("criu"), "{error}");
            }
            let late = client.with_timeout(Duration::from_millis(50)).wait("web").await.expect_err("it runs");
            assert_eq!(late.kind(), ErrorKind::Timeout, "{late}");
            client.close_stdin("web").await.expect("CloseIO");
            client.kill("web", 9, true).await.expect("Kill");
            assert_eq!(client.wait("web").await.expect("Wait").exit_status, 137);
            assert_eq!(status(&client).await, Status::STOPPED);
            assert_eq!(client.wait("web").await.expect("Wait again").exit_status, 137);
            let deleted = client.delete().await.expect("Delete");
            assert_eq!((deleted.pid, deleted.exit_status), (pid, 137));
            drop(client);
            shim.remove().await.expect("remove the shim");
            if kind == ShimKind::Remote {
                tokio::time::timeout(STEP_TIMEOUT, async {
                    while !ended.load(Ordering::SeqCst) {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                })
                .await
                .expect("on_exit is called");
            }
        });
        dunnage.delete(&id("web"), false).expect("delete");
        let events = dunnage.events().expect("the events");
        let exits: Vec<_> = events.iter().map(|event| (event.id.as_deref(), event.exit_status)).collect();
        assert!(exits.contains(&(Some("web"), Some(137))) && exits.contains(&(Some("more"), Some(3))), "{exits:?}");
        node.expect_nothing_left();
    }
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_rootfs_of_layers_and_one_that_is_read_only() {
    if !possible("privileged_a_rootfs_of_layers_and_one_that_is_read_only") {
        return;
    }
    for kind in [ShimKind::Remote, ShimKind::Local] {
        for (program, layers) in [("echo x > /tmp/written", true), ("! echo x > /tmp/written", false)] {
            let node = Node::with(kind);
            let dunnage = node.scratch.dunnage();
            let path = |name: &str| node.scratch.path().join(name).to_str().expect("UTF-8").to_owned();
            let lower = node.rootfs(Base::Plain).to_str().expect("UTF-8").to_owned();
            block_on(async {
                let spec = node.spec(Base::Plain, "web", &["/bin/sh", "-c", program], false);
                dunnage.create(&id("web"), &Spec::read_file(spec, u64::MAX).expect("a spec")).expect("a bundle");
                let (shim, mut request) = started(&node, &dunnage, kind, options(&node)).await;
                request.rootfs = if layers {
                    // overlay(5) wants the upper and the work directory on a file system of its liking.
                    [path("upper"), path("work")].iter().for_each(|layer| std::fs::create_dir(layer).expect("a layer"));
                    let options = [
                        format!("lowerdir={lower}"),
                        format!("upperdir={}", path("upper")),
                        format!("workdir={}", path("work")),
                    ];
                    vec![mount("overlay", "overlay", options.to_vec())]
                } else {
                    vec![mount("bind", &lower, ["rbind", "ro"].map(str::to_owned).to_vec())]
                };
                let client = shim.client().clone();
                client.create(&request).await.expect("Create");
                client.start("web").await.expect("Start");
                assert_eq!(client.wait("web").await.expect("Wait").exit_status, 0, "{kind:?} {program}");
                client.delete().await.expect("Delete");
                drop(client);
                shim.remove().await.expect("remove the shim");
            });
            assert_eq!(std::fs::read(node.rootfs(Base::Plain).join("tmp/written")).ok(), None);
            assert_eq!(std::fs::read(path("upper") + "/tmp/written").ok(), layers.then(|| b"x\n".to_vec()));
            dunnage.delete(&id("web"), false).expect("delete");
            node.expect_nothing_left();
        }
    }
}

/// Runs another process in the container.
async fn exec(client: &ShimClient) {
    let spec = br#"{"user":{"uid":0,"gid":0},"args":["/bin/sh","-c","exit 3"],"env":["PATH=/bin"],"cwd":"/"}"#;
    let request = || ExecProcessRequest { id: "more".to_owned(), ..ExecProcessRequest::default() };
    // The original panics without a spec, and its container is an orphan then.
    assert_eq!(client.exec(request(), b"").await.expect_err("no spec").kind(), ErrorKind::InvalidConfig);
    client.exec(request(), spec).await.expect("Exec");
    assert_eq!(client.exec(request(), spec).await.expect_err("the name is taken").kind(), ErrorKind::Shim);
    assert_ne!(client.start("more").await.expect("Start"), 0);
    assert_eq!(client.wait("more").await.expect("Wait").exit_status, 3);
    assert_eq!(client.delete_process("more").await.expect("DeleteProcess").exit_status, 3);
    assert_eq!(client.state("more").await.expect_err("it is gone").kind(), ErrorKind::NoTask);
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_lost_connection_is_told() {
    if !possible("privileged_a_lost_connection_is_told") {
        return;
    }
    let node = Node::new();
    let dunnage = node.scratch.dunnage();
    block_on(async {
        let (shim, _) = start(&node, &dunnage, ShimKind::Remote, options(&node)).await;
        let (told, closed) = mpsc::channel();
        let mut options = ConnectOptions::default();
        options.on_close = Some(Box::new(move || {
            let _ = told.send(());
        }));
        let second = dunnage.connect_shim(&id("web"), options).await.expect("connect");
        assert_eq!((second.pid(), second.address()), (shim.pid(), shim.address()));
        shim.stop(Stop::Kill, STEP_TIMEOUT).await.expect("stop");
        let told = tokio::task::spawn_blocking(move || closed.recv_timeout(STEP_TIMEOUT)).await.expect("a thread");
        told.expect("on_close is called");
        let error = second.client().shim_info().await.expect_err("it is gone");
        assert_eq!(error.kind(), ErrorKind::Shim, "{error}");
    });
    dunnage.delete(&id("web"), false).expect("delete");
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_shim_that_does_not_end_is_told() {
    if !possible("privileged_a_shim_that_does_not_end_is_told") {
        return;
    }
    let node = Node::new();
    let dunnage = node.scratch.dunnage();
    block_on(async {
        let (shim, _) = start(&node, &dunnage, ShimKind::Remote, options(&node)).await;
        let pid = Pid::from_raw(i32::try_from(shim.pid()).expect("a pid")).expect("a pid");
        kill_process(pid, Signal::STOP).expect("stop it");
        let error = shim.stop(Stop::Ask, Duration::from_millis(200)).await.expect_err("it cannot end");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(error.to_string().contains("received SIGTERM but did not exit"), "{error}");
        kill_process(pid, Signal::CONT).expect("let it go on");
    });
    dunnage.delete(&id("web"), true).expect("delete");
    node.expect_nothing_left();
}
