//! A broker and a bundle for tests that ask what a hostile process would. The tests of `dunnage-shims` use
//! this file too: there the broker starts shims.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use dunnage_broker::{Domain, MAX_REPLY_SIZE, Reply, Request, ShimLauncher, receive, send, serve};
use dunnage_store::{ShimKind, ShimRecord};
use dunnage_sys::{Directory, boot_id};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tempfile::TempDir;

/// A broker of its own, and a bundle `default/web`.
pub(super) struct Bed {
    pub(super) scratch: TempDir,
    pub(super) socket: Option<OwnedFd>,
    broker: Option<JoinHandle<rustix::io::Result<()>>>,
}

impl Bed {
    pub(super) fn new() -> Self {
        Self::starting(|_| None)
    }

    /// A broker that starts shims too.
    pub(super) fn starting(launcher: impl FnOnce(&Path) -> Option<Box<dyn ShimLauncher>>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        for path in ["state/default/web/rootfs", "state/default/db", "root", "elsewhere/rootfs"] {
            fs::create_dir_all(scratch.path().join(path)).unwrap();
        }
        let mut domain = Domain::new(&scratch.path().join("state"), &scratch.path().join("root"));
        if let Some(launcher) = launcher(scratch.path()) {
            domain = domain.with_launcher(launcher);
        }
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let broker = std::thread::spawn(move || serve(&theirs, &domain));
        Self { scratch, socket: Some(ours), broker: Some(broker) }
    }

    pub(super) fn open(&self, path: &str) -> OwnedFd {
        fs::File::open(self.scratch.path().join(path)).unwrap().into()
    }

    pub(super) fn answer(&self) -> Reply {
        let (answer, _) = receive(self.socket.as_ref().unwrap(), MAX_REPLY_SIZE).unwrap().unwrap().unwrap();
        answer
    }

    pub(super) fn ask(&self, request: &Request, fds: &[&OwnedFd]) -> Reply {
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        send(self.socket.as_ref().unwrap(), request, &fds).unwrap();
        self.answer()
    }

    /// The broker is still there, and answers a proper request.
    #[track_caller]
    pub(super) fn works(&self) {
        assert_eq!(self.ask(&Request::Unmount, &[&self.open("state/default/web")]), Reply::Done);
    }

    /// Writes a record as a hostile process could, which has the same rights there.
    pub(super) fn forge(&self, change: impl FnOnce(&mut ShimRecord)) {
        let bundle = Directory::from_fd_unchecked(self.open("state/default/web"), "bundle".into());
        let mut record = ShimRecord {
            kind: ShimKind::Remote,
            boot: boot_id().unwrap(),
            bundle: bundle.identity().unwrap(),
            address: String::new(),
            socket: None,
            runtime: "runc".into(),
            runtime_root: PathBuf::new(),
            log: None,
            process: None,
            exited: None,
        };
        change(&mut record);
        let directory = self.scratch.path().join("state/.dunnage/shims/default/web");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("record.json"), serde_json::to_vec(&record).unwrap()).unwrap();
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        drop(self.socket.take());
        let served = self.broker.take().unwrap().join().unwrap();
        assert!(std::thread::panicking() || served.is_ok(), "the broker ended with {served:?}");
    }
}
