//! A bundle, a shim that is served, and a client.

use std::future::Future;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dunnage_shim_proto::events::TaskExit;
use dunnage_shim_proto::shim::{CreateTaskRequest, StartRequest, StateRequest, WaitRequest};
use dunnage_shim_proto::shim_ttrpc::ShimClient;
use dunnage_shim_proto::task::Status;
use dunnage_shim_proto::types::Mount;
use dunnage_shim_service::{LocalConfig, LocalShim, Publisher, Server, serve};
use dunnage_tests::containers;
use protobuf::well_known_types::any::Any;
use protobuf::well_known_types::empty::Empty;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use ttrpc::context::{Context, with_timeout};

#[derive(Default)]
pub(crate) struct Events(Mutex<Vec<(String, String, Any)>>);

impl Publisher for Events {
    fn publish(&self, topic: &str, namespace: &str, event: Any) {
        // Those who wait for a process need not wait for this.
        std::thread::sleep(Duration::from_millis(200));
        self.0.lock().unwrap().push((topic.to_owned(), namespace.to_owned(), event));
    }
}

pub(crate) struct Bed {
    pub(crate) base: tempfile::TempDir,
    pub(crate) spec: Value,
    pub(crate) client: ShimClient,
    server: Option<Server>,
    events: Arc<Events>,
}

/// Runs a test on a runtime of one thread; what hangs fails.
pub(crate) fn run(test: impl Future<Output = ()>) {
    if !containers::possible("this test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.expect("it hangs") });
}

pub(crate) fn context() -> Context {
    with_timeout(30_000_000_000)
}

/// The code and the message of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(answer: ttrpc::Result<T>) -> (ttrpc::Code, String) {
    let error = answer.unwrap_err();
    let ttrpc::Error::RpcStatus(status) = &error else { panic!("{error}") };
    (status.code(), status.message().to_owned())
}

impl Drop for Bed {
    /// What a test that failed leaves behind must not stay: it would keep the directory mounted.
    fn drop(&mut self) {
        let mut runc = std::process::Command::new("runc");
        let deleted = runc.arg("--root").arg(self.path("runc/test")).args(["delete", "--force", "c1"]).status();
        let unmounted = rustix::mount::unmount(self.path("bundle/rootfs"), rustix::mount::UnmountFlags::DETACH);
        if std::thread::panicking() {
            eprintln!("runc delete: {deleted:?}, umount: {unmounted:?}");
        }
    }
}

impl Bed {
    pub(crate) async fn new(args: &[&str]) -> Self {
        Self::with_spec("plain.json", args).await
    }

    pub(crate) async fn with_spec(spec: &str, args: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let base = tempfile::tempdir().unwrap();
        std::fs::set_permissions(base.path(), PermissionsExt::from_mode(0o711)).unwrap();
        let owner = if spec == "userns.json" { 100_000 } else { 0 };
        for directory in ["bundle", "bundle/rootfs", "work", "image", "image/bin", "image/proc", "image/dev"]
            .into_iter()
            .chain(["image/sys", "image/run"])
        {
            std::fs::create_dir(base.path().join(directory)).unwrap();
            std::fs::set_permissions(base.path().join(directory), PermissionsExt::from_mode(0o711)).unwrap();
            if directory.starts_with("image") {
                chown(base.path().join(directory), Some(owner), Some(owner)).unwrap();
            }
        }
        let busybox = base.path().join("image/bin/busybox");
        std::fs::copy("/bin/busybox", &busybox).unwrap();
        for applet in ["sh", "cat", "sleep", "true", "dd", "stty", "echo"] {
            std::os::unix::fs::symlink("busybox", base.path().join("image/bin").join(applet)).unwrap();
        }
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(spec);
        let mut spec: Value = serde_json::from_slice(&std::fs::read(data).unwrap()).unwrap();
        spec["process"]["args"] = json!(args);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        spec["linux"]["cgroupsPath"] = json!(format!("/dunnage-local-{}-{number}", std::process::id()));
        let events = Arc::new(Events::default());
        let shim = LocalShim::new(LocalConfig {
            namespace: "test".into(),
            bundle: base.path().join("bundle"),
            work_dir: base.path().join("work"),
            runtime: String::new(),
            runtime_root: base.path().join("runc"),
            systemd_cgroup: false,
            // Tests run side by side, each with children of its own.
            owns_process: false,
            publisher: Arc::clone(&events) as Arc<dyn Publisher>,
        });
        let socket = base.path().join("shim.sock");
        let server = serve(UnixListener::bind(&socket).unwrap(), shim.unwrap()).await.unwrap();
        let client = ttrpc::r#async::Client::connect(&format!("unix://{}", socket.display())).await.unwrap();
        Self { base, spec, client: ShimClient::new(client), server: Some(server), events }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    /// Writes the spec; the rootfs is a bind mount of the image.
    pub(crate) fn request(&self) -> CreateTaskRequest {
        std::fs::write(self.path("bundle/config.json"), self.spec.to_string()).unwrap();
        let mount = Mount {
            type_: "bind".into(),
            source: self.path("image").display().to_string(),
            options: vec!["rbind".into(), "nosuid".into()],
            ..Mount::default()
        };
        CreateTaskRequest {
            id: "c1".into(),
            bundle: self.path("bundle").display().to_string(),
            rootfs: vec![mount],
            ..CreateTaskRequest::default()
        }
    }

    pub(crate) fn fifo(&self, name: &str) -> String {
        let path = self.path(name);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
        path.display().to_string()
    }

    /// A FIFO with its reader.
    pub(crate) fn output(&self, name: &str) -> (String, pipe::Receiver) {
        let path = self.fifo(name);
        let receiver = pipe::OpenOptions::new().open_receiver(&path).unwrap();
        (path, receiver)
    }

    pub(crate) async fn start(&self, id: &str) -> u32 {
        let request = StartRequest { id: id.into(), ..StartRequest::default() };
        self.client.start(context(), &request).await.unwrap().pid
    }

    pub(crate) async fn wait(&self, id: &str) -> u32 {
        let request = WaitRequest { id: id.into(), ..WaitRequest::default() };
        self.client.wait(context(), &request).await.unwrap().exit_status
    }

    pub(crate) async fn status(&self, id: &str) -> Status {
        let request = StateRequest { id: id.into(), ..StateRequest::default() };
        self.client.state(context(), &request).await.unwrap().status.enum_value_or_default()
    }

    /// Deletes the container, and sees that nothing is left.
    pub(crate) async fn delete(mut self, status: u32) -> Vec<TaskExit> {
        let deleted = self.client.delete(context(), &Empty::new()).await.unwrap();
        assert_eq!(deleted.exit_status, status);
        // All is told by now: the shim may end.
        assert!(!self.events.0.lock().unwrap().is_empty());
        let state = self.client.state(context(), &StateRequest { id: "c1".into(), ..StateRequest::default() }).await;
        assert_eq!(code(state).0, ttrpc::Code::NOT_FOUND);
        let events = self.exits(1).await;
        self.assert_clean();
        self.server.take().unwrap().shutdown().await.unwrap();
        events
    }

    /// The exits that were published, once there are as many.
    pub(crate) async fn exits(&self, least: usize) -> Vec<TaskExit> {
        for _ in 0..100 {
            if self.events.0.lock().unwrap().len() >= least {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let parse = |(topic, namespace, event): &(String, String, Any)| {
            assert_eq!((topic.as_str(), namespace.as_str()), ("/tasks/exit", "test"));
            assert_eq!(event.type_url, "containerd.events.TaskExit");
            <TaskExit as protobuf::Message>::parse_from_bytes(&event.value).unwrap()
        };
        self.events.0.lock().unwrap().iter().map(parse).collect()
    }

    pub(crate) fn assert_clean(&self) {
        let base = self.base.path().display().to_string();
        let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        assert!(!mounts.contains(&base), "{mounts}");
        let containers = std::fs::read_dir(self.path("runc/test"));
        assert_eq!(containers.map_or(0, Iterator::count), 0);
        assert_eq!(std::fs::read_dir(self.path("work")).unwrap().count(), 0);
        let group = self.spec["linux"]["cgroupsPath"].as_str().unwrap();
        let group = group.trim_start_matches('/');
        for place in ["/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/freezer", "/sys/fs/cgroup/devices"] {
            assert!(!Path::new(place).join(group).exists(), "{place}/{group}");
        }
    }
}

pub(crate) async fn read_all(mut from: pipe::Receiver) -> Vec<u8> {
    let mut all = Vec::new();
    from.read_to_end(&mut all).await.unwrap();
    all
}
