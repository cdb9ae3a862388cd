//! Shims that a hostile process wants a broker to start.

#[path = "../../../broker/src/tests/bed.rs"]
mod bed;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use dunnage_broker::{Reply, Request};
use dunnage_core::{NodePaths, RuncOptions, ShimOptions};
use dunnage_sys::{ProcessHandle, ProcessId};
use rustix::process::Signal;

use self::bed::Bed;
use crate::{BrokerLauncher, StartOptions};

/// A broker whose shims write down how they were started, and wait.
fn bed() -> Bed {
    bed_of("elsewhere/shim")
}

/// The same with the program in another place.
fn bed_of(program: &str) -> Bed {
    let bed = Bed::starting(|scratch| {
        let options = StartOptions {
            binary: scratch.join(program),
            publisher: Some("/publisher".into()),
            settings: ShimOptions {
                runtime_root: "/node".into(),
                runc: Some(RuncOptions { runtime_root: "/own".into(), systemd_cgroup: false }),
            },
            ..StartOptions::default()
        };
        let paths = NodePaths {
            state: scratch.join("state"),
            root: scratch.join("root"),
            socket_root: scratch.join("sockets"),
            ..NodePaths::default()
        };
        Some(Box::new(BrokerLauncher::new(&options, &paths).unwrap()))
    });
    let path = |at: &str| bed.scratch.path().join(at);
    for directory in ["sockets", "root/default/web"] {
        fs::create_dir_all(path(directory)).unwrap();
    }
    let proof = path("proof");
    fs::write(path(program), format!("#!/bin/sh\necho \"$@\" > {}\nexec sleep 60\n", proof.display())).unwrap();
    fs::set_permissions(path(program), fs::Permissions::from_mode(0o755)).unwrap();
    bed
}

impl Bed {
    fn intend(&self) {
        let address = format!("unix://{}", self.scratch.path().join("sockets/web").display());
        self.forge(|record| record.address = address);
    }

    /// What a shim of the bundle is started with.
    fn arguments(&self) -> Vec<String> {
        self.arguments_with("/node")
    }

    fn arguments_with(&self, runtime_root: &str) -> Vec<String> {
        let work_dir = self.scratch.path().join("root/default/web");
        let pairs = [
            ["-namespace", "default"],
            ["-workdir", work_dir.to_str().unwrap()],
            ["-address", dunnage_core::DEFAULT_DAEMON_ADDRESS],
            ["-containerd-binary", "/publisher"],
            ["-runtime-root", runtime_root],
        ];
        pairs.into_iter().flatten().map(str::to_owned).collect()
    }

    fn start(&self, arguments: Vec<String>, socket: &OwnedFd) -> Reply {
        self.ask(&Request::StartShim { arguments }, &[&self.open("state/default/web"), socket])
    }

    #[track_caller]
    fn starts_nothing(&self, arguments: Vec<String>, socket: &OwnedFd, why: &str) {
        let answer = self.start(arguments.clone(), socket);
        assert!(matches!(answer, Reply::Trouble { .. } | Reply::Refused(_)), "{arguments:?}: {answer:?}");
        assert!(format!("{answer:?}").contains(why), "{arguments:?}: {answer:?} is not for the reason: {why}");
        self.works();
        assert!(!self.scratch.path().join("proof").exists(), "{arguments:?}");
    }
}

const OTHER: &str = "do not belong to a shim of this bundle";

fn listener(at: &Path) -> OwnedFd {
    UnixListener::bind(at).unwrap().into()
}

#[test]
fn a_shim_is_started_as_was_said_beforehand() {
    for runtime_root in ["/node", "/own"] {
        // One for each: the end of a shim is noted when it has already been waited for.
        let bed = bed();
        let socket = listener(&bed.scratch.path().join("sockets/web"));
        bed.intend();
        let arguments = bed.arguments_with(runtime_root);
        let answer = bed.start(arguments.clone(), &socket);
        let Reply::Started(process) = answer else { panic!("{answer:?}") };
        let shim = ProcessHandle::find_started(process).unwrap().expect("a process");
        let proof = bed.scratch.path().join("proof");
        while fs::read_to_string(&proof).unwrap_or_default().trim_end() != arguments.join(" ") {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(
            fs::read_link(format!("/proc/{}/cwd", process.pid)).unwrap(),
            bed.scratch.path().join("state/default/web")
        );
        assert_eq!(shim.end(Signal::KILL, Duration::from_secs(10)), Ok(true));
    }
}

#[test]
fn other_arguments_start_nothing() {
    let bed = bed();
    bed.intend();
    let socket = listener(&bed.scratch.path().join("sockets/web"));
    let good = bed.arguments();
    for index in 0..good.len() {
        let mut without = good.clone();
        without.remove(index);
        bed.starts_nothing(without, &socket, OTHER);
        let mut other = good.clone();
        other[index] = "/other".to_owned();
        bed.starts_nothing(other, &socket, OTHER);
    }
    for more in [
        &["-runtime-root"][..],
        &["-runtime-root", "/own"],
        &["-systemd-cgroup"],
        &["-debug"],
        &["-socket", "/s"],
        &["-criu", "/bin/sh"],
        &["--"],
        &[""],
    ] {
        let arguments = good.iter().cloned().chain(more.iter().map(|more| (*more).to_owned()));
        bed.starts_nothing(arguments.collect(), &socket, OTHER);
    }
    // Which root it is, is not the caller's choice: one of two, never none and never another.
    bed.starts_nothing(bed.arguments_with("/elsewhere"), &socket, OTHER);
    bed.starts_nothing(bed.arguments_with(""), &socket, OTHER);
    bed.starts_nothing(good[..good.len() - 2].to_vec(), &socket, OTHER);
    bed.starts_nothing(Vec::new(), &socket, OTHER);
}

#[test]
fn what_does_not_listen_is_no_socket_for_a_shim() {
    let bed = bed();
    bed.intend();
    let (one, other) = UnixStream::pair().unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for socket in [OwnedFd::from(one), other.into(), tcp.into(), fs::File::open("/dev/null").unwrap().into()] {
        bed.starts_nothing(bed.arguments(), &socket, "not a listening unix socket");
    }
}

#[test]
fn without_a_record_of_the_intent_nothing_is_started() {
    let bed = bed();
    let socket = listener(&bed.scratch.path().join("sockets/web"));
    bed.starts_nothing(bed.arguments(), &socket, "the intent was not recorded");
    let sockets = bed.scratch.path().join("sockets");
    let address = |at: &str| format!("unix://{}{at}", sockets.display());
    for wrong in
        [String::new(), "web".to_owned(), address("/../web"), address("/a/b"), "unix:///elsewhere/web".to_owned()]
    {
        bed.forge(|record| record.address = wrong);
        bed.starts_nothing(bed.arguments(), &socket, "not in the socket directory");
    }
    bed.forge(|record| {
        record.address = address("/web");
        record.process = Some(ProcessId { pid: std::process::id(), started: 1 });
    });
    bed.starts_nothing(bed.arguments(), &socket, "already has a recorded shim");
    bed.forge(|record| {
        record.address = address("/web");
        record.bundle.inode += 1;
    });
    bed.starts_nothing(bed.arguments(), &socket, "the intent was not recorded");
    fs::remove_dir(bed.scratch.path().join("root/default/web")).unwrap();
    bed.intend();
    bed.starts_nothing(bed.arguments(), &socket, "No such file or directory");
}

#[test]
fn a_broker_that_was_not_told_how_starts_nothing() {
    let bed = Bed::new();
    bed.intend();
    let socket = listener(&bed.scratch.path().join("elsewhere/web"));
    let answer = bed.start(bed.arguments(), &socket);
    assert_eq!(answer, Reply::Refused("this broker does not start shims".to_owned()));
    bed.works();
}

#[test]
fn a_program_that_the_other_side_could_have_made_is_not_started() {
    for program in ["state/default/web/shim", "state/shim", "root/default/shim"] {
        let bed = bed_of(program);
        bed.intend();
        let socket = listener(&bed.scratch.path().join("sockets/web"));
        bed.starts_nothing(bed.arguments(), &socket, "which is not trusted");
    }
}
