//! Starting, asking and stopping the real shim, and what may stand in the way.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dunnage_tests::Scratch;
use dunnage_tests::binary::run;
use dunnage_tests::containers::{Base, Node, possible};

/// A node with a bundle `web`.
fn node_with_bundle() -> Node {
    let node = Node::new();
    node.create("web", &["/bin/sleep", "1000"]);
    node
}

/// Where the shim of `web` listens.
fn socket(node: &Node) -> std::path::PathBuf {
    let address = node.dunnage(["shim", "address", "web"]).expect(0).stdout;
    Path::new(address.trim().strip_prefix("unix://").expect("a path")).to_owned()
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().expect("metadata").permissions().mode() & 0o7777
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_shim_is_started_asked_and_stopped() {
    if !possible("privileged_a_shim_is_started_asked_and_stopped") {
        return;
    }
    let node = node_with_bundle();
    let started = node.dunnage(["shim", "start", "web", "-o", "json"]).expect(0).json();
    let address = node.dunnage(["shim", "address", "web"]).expect(0).stdout;
    assert_eq!(started["address"], address.trim());
    // Exactly as containerd writes them, for us alone (defect D10).
    let bundle = node.scratch.bundle("web");
    assert_eq!(fs::read_to_string(bundle.join("address")).expect("address"), address.trim());
    assert_eq!(fs::read_to_string(bundle.join("shim.pid")).expect("shim.pid"), started["pid"].to_string());
    assert_eq!((mode(&bundle.join("address")), mode(&bundle.join("shim.pid"))), (0o600, 0o600));
    assert_eq!((mode(&socket(&node)), mode(&node.scratch.sockets())), (0o600, 0o700));
    // Another process finds it, by what is on file.
    let before = node.scratch.tree();
    assert_eq!(node.dunnage(["shim", "info", "web", "-o", "json"]).expect(0).json(), started);
    let found = node.dunnage(["inspect", "web", "-o", "json"]).expect(0).json();
    assert_eq!((&found["shim_pid"], &found["shim_alive"]), (&started["pid"], &true.into()));
    assert_eq!(node.scratch.tree(), before);
    // It keeps its bundle, and its place.
    assert!(node.dunnage(["delete", "web"]).expect(6).stderr.contains("still running"));
    node.dunnage(["shim", "start", "web"]).expect(6);
    assert_eq!(node.dunnage(["shim", "stop", "web", "-o", "json"]).expect(0).json(), started);
    assert!(!socket(&node).exists());
    node.dunnage(["shim", "info", "web"]).expect(1);
    assert_eq!(node.dunnage(["inspect", "web", "-o", "json"]).expect(0).json()["shim_alive"], false);
    // Once more, over what the first one left.
    let again = node.dunnage(["shim", "start", "web", "-o", "json"]).expect(0).json();
    assert_ne!(again["pid"], started["pid"]);
    node.dunnage(["shim", "stop", "web", "--kill"]).expect(0);
    node.dunnage(["delete", "web"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_the_shim_gets_nothing_it_does_not_need() {
    if !possible("privileged_the_shim_gets_nothing_it_does_not_need") {
        return;
    }
    let node = node_with_bundle();
    let secret = fs::File::open("/etc/passwd").expect("a file");
    let leaked = rustix::io::fcntl_dupfd_cloexec(&secret, 40).expect("a copy");
    // A careless parent leaves descriptors open, and secrets in the environment.
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).expect("fcntl");
    let mut command = node.scratch.command(["shim", "start", "web", "-o", "json"]);
    let started = run(command.env("SECRET", "hunter2"), []).expect(0).json();
    let process = format!("/proc/{}", started["pid"]);
    let environment = fs::read_to_string(format!("{process}/environ")).expect("its environment");
    assert!(!environment.contains("SECRET"), "{environment}");
    let names: Vec<_> = environment.split('\0').filter_map(|pair| Some(pair.split_once('=')?.0)).collect();
    for (name, value) in [("DUNNAGE_STATE", node.scratch.state()), ("DUNNAGE_ROOT", node.scratch.root())] {
        assert!(environment.contains(&format!("{name}={}", value.display())), "{environment}");
    }
    assert!(
        names.iter().all(|name| [
            "PATH",
            "LANG",
            "TMPDIR",
            "XDG_RUNTIME_DIR",
            "DUNNAGE_STATE",
            "DUNNAGE_ROOT",
            "DUNNAGE_BUNDLE"
        ]
        .contains(name)),
        "{names:?}"
    );
    for entry in fs::read_dir(format!("{process}/fd")).expect("its descriptors") {
        let target = fs::read_link(entry.expect("an entry").path()).unwrap_or_default();
        assert_ne!(target, Path::new("/etc/passwd"));
        assert!(!target.ends_with("default"), "a directory of ours: {target:?}");
    }
    assert_eq!(fs::read_link(format!("{process}/cwd")).expect("cwd"), node.scratch.bundle("web"));
    let ours: i32 = fs::read_to_string("/proc/self/oom_score_adj").expect("ours").trim().parse().expect("a number");
    let theirs: i32 =
        fs::read_to_string(format!("{process}/oom_score_adj")).expect("theirs").trim().parse().expect("a number");
    assert_eq!(theirs, (ours + 1).min(1000));
    node.dunnage(["delete", "web", "--force"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_the_monitor_is_small_and_can_be_spared() {
    if !possible("privileged_the_monitor_is_small_and_can_be_spared") {
        return;
    }
    let node = node_with_bundle();
    let started = node.dunnage(["shim", "start", "web", "-o", "json"]).expect(0).json();
    let status = fs::read_to_string(format!("/proc/{}/status", started["pid"])).expect("the shim's status");
    let monitor = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("its parent").trim().to_owned();
    let of_monitor = fs::read_to_string(format!("/proc/{monitor}/status")).expect("the monitor's status");
    // What each monitor adds: the pages of its code are those of all others.
    let memory = of_monitor.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("its memory");
    let memory: u32 = memory.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!((1..=1000).contains(&memory), "the monitor takes {memory} KiB");
    println!("a monitor takes {memory} KiB of its own");
    let pid = rustix::process::Pid::from_raw(monitor.parse().expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
    assert_eq!(node.dunnage(["shim", "info", "web", "-o", "json"]).expect(0).json(), started);
    node.dunnage(["shim", "stop", "web"]).expect(0);
    node.dunnage(["delete", "web"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_d4_a_stale_socket_is_taken_over_and_a_live_one_is_not() {
    if !possible("privileged_d4_a_stale_socket_is_taken_over_and_a_live_one_is_not") {
        return;
    }
    let node = node_with_bundle();
    fs::create_dir(node.scratch.sockets()).expect("the socket directory");
    let path = socket(&node);
    let owner = UnixListener::bind(&path).expect("a live owner");
    let failed = node.dunnage(["shim", "start", "web"]).expect(6);
    assert!(failed.stderr.contains("a process is listening there"), "{failed:?}");
    drop(owner);
    assert!(path.exists());
    node.dunnage(["shim", "start", "web"]).expect(0);
    node.dunnage(["shim", "stop", "web"]).expect(0);
    // A file that is not a socket is never removed.
    fs::write(&path, "data").expect("a file");
    node.dunnage(["shim", "start", "web"]).expect(6);
    assert_eq!(fs::read(&path).expect("the file"), b"data");
    fs::remove_file(&path).expect("remove");
    symlink("/etc/passwd", &path).expect("a link");
    node.dunnage(["shim", "start", "web"]).expect(6);
    assert!(path.is_symlink());
    fs::remove_file(&path).expect("remove");
    node.dunnage(["delete", "web"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_shim_that_does_not_come_up_leaves_nothing() {
    if !possible("privileged_a_shim_that_does_not_come_up_leaves_nothing") {
        return;
    }
    let node = node_with_bundle();
    let script = |name: &str, text: &str| {
        let path = node.scratch.path().join(name);
        fs::write(&path, text).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        path.to_str().expect("UTF-8").to_owned()
    };
    let hanging = script("hanging", "#!/bin/sh\nexec sleep 1000\n");
    let before = node
        .scratch
        .tree()
        .into_iter()
        .filter(|line| line.starts_with("state/default") || line.starts_with("root/default"))
        .collect::<Vec<_>>();
    for (binary, cause) in [
        ("/no/such/shim", "No such file or directory"),
        ("/bin/true", "exited by itself"),
        ("/bin/false", "exited by itself"),
        ("/etc/passwd", "Permission denied"),
        (hanging.as_str(), "no answer"),
    ] {
        let failed = node.dunnage(["shim", "start", "web", "--timeout", "1", "--shim-binary", binary]).expect(1);
        assert!(failed.stderr.contains(cause), "{binary}: {failed:?}");
        let now = node
            .scratch
            .tree()
            .into_iter()
            .filter(|line| line.starts_with("state/default") || line.starts_with("root/default"))
            .collect::<Vec<_>>();
        assert_eq!(now, before, "{binary}");
        assert!(!socket(&node).exists());
    }
    node.dunnage(["delete", "web"]).expect(0);
    node.expect_nothing_left();
}

/// Puts an address on file, with the id of the process that should answer there.
fn put_on_file(node: &Node, pid: u32) {
    let address = node.dunnage(["shim", "address", "web"]).expect(0).stdout;
    fs::write(node.scratch.bundle("web").join("address"), address.trim()).expect("address");
    fs::write(node.scratch.bundle("web").join("shim.pid"), pid.to_string()).expect("shim.pid");
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_who_does_not_answer_as_the_shim_is_not_taken_for_it() {
    if !possible("privileged_who_does_not_answer_as_the_shim_is_not_taken_for_it") {
        return;
    }
    let node = node_with_bundle();
    fs::create_dir(node.scratch.sockets()).expect("the socket directory");
    let path = socket(&node);
    put_on_file(&node, std::process::id());
    let info = ["shim", "info", "web", "--timeout", "1"];
    // There is nothing.
    assert!(node.dunnage(info).expect(1).stderr.contains("the socket does not exist"));
    // It is not a socket.
    fs::write(&path, "data").expect("a file");
    assert!(node.dunnage(info).expect(1).stderr.contains("not a socket"));
    fs::remove_file(&path).expect("remove");
    // It accepts and never answers.
    let mute = UnixListener::bind(&path).expect("a mute one");
    let failed = node.dunnage(info).expect(1);
    assert!(failed.stderr.contains("no answer"), "{failed:?}");
    drop(mute);
    // It is stale.
    assert!(node.dunnage(info).expect(1).stderr.contains("no process is listening there"));
    fs::remove_file(&path).expect("remove");
    // Another user serves it.
    let mut stranger = Stranger::at(&path);
    let failed = node.dunnage(info).expect(1);
    assert!(failed.stderr.contains("user 12345 listens"), "{failed:?}");
    stranger.0.kill().expect("kill");
    drop(stranger);
    assert!(path.exists());
    fs::remove_file(&path).expect("remove");
    node.dunnage(["delete", "web"]).expect(0);
    node.expect_nothing_left();
}

/// Another user who listens somewhere.
struct Stranger(Child);

impl Stranger {
    fn at(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        // The process that calls `listen` last is the peer: the socket is handed over before.
        let mut command = Command::new("perl");
        command.args(["-e", "open(S, '+<&=0') or die; listen(S, 1) or die; $| = 1; print 'x'; sleep 1000"]);
        command.uid(12345).gid(12345).stdin(Stdio::from(std::os::fd::OwnedFd::from(listener))).stdout(Stdio::piped());
        let mut child = command.spawn().expect("another user");
        let mut ready = [0; 1];
        std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut ready).expect("ready");
        Self(child)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_shim_of_another_bundle_is_not_taken_for_it() {
    if !possible("privileged_a_shim_of_another_bundle_is_not_taken_for_it") {
        return;
    }
    let node = node_with_bundle();
    let spec = node.spec(Base::Plain, "other", &["/bin/sleep", "1000"], false);
    node.dunnage(["create", "other", "--spec", spec.to_str().expect("UTF-8")]).expect(0);
    let started = node.dunnage(["shim", "start", "other", "-o", "json"]).expect(0).json();
    for file in ["address", "shim.pid"] {
        fs::copy(node.scratch.bundle("other").join(file), node.scratch.bundle("web").join(file)).expect("copy");
    }
    let failed = node.dunnage(["shim", "info", "web"]).expect(1);
    assert!(failed.stderr.contains("not the shim of this bundle"), "{failed:?}");
    node.dunnage(["shim", "stop", "web"]).expect(1);
    node.dunnage(["delete", "web", "--force"]).expect(0);
    assert_eq!(node.dunnage(["shim", "info", "other", "-o", "json"]).expect(0).json(), started);
    node.dunnage(["delete", "other", "--force"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_shim_goes_into_the_cgroup_it_is_given() {
    if !possible("privileged_a_shim_goes_into_the_cgroup_it_is_given") {
        return;
    }
    let node = node_with_bundle();
    assert!(
        node.dunnage(["shim", "start", "web", "--cgroup", "/no/such/cgroup"])
            .expect(1)
            .stderr
            .contains("does not exist in any hierarchy")
    );
    node.dunnage(["shim", "start", "web", "--cgroup", "../x"]).expect(2);
    let hierarchy = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"]
        .into_iter()
        .find(|path| Path::new(path).join("cgroup.procs").exists())
        .expect("a hierarchy");
    let name = format!("dunnage-shims-{}", std::process::id());
    let cgroup = Path::new(hierarchy).join(&name);
    fs::create_dir(&cgroup).expect("a cgroup");
    let started = node.dunnage(["shim", "start", "web", "--cgroup", &name, "-o", "json"]).expect(0).json();
    let members = fs::read_to_string(cgroup.join("cgroup.procs")).expect("its members");
    let pid = started["pid"].to_string();
    assert!(members.lines().any(|member| member == pid), "{members}");
    // Its monitor too, or whoever ends the cgroup of the command would end it.
    assert!(members.lines().count() >= 2, "{members}");
    node.dunnage(["delete", "web", "--force"]).expect(0);
    // The monitor notes the end of the shim first.
    for _ in 0..200 {
        if fs::read_to_string(cgroup.join("cgroup.procs")).is_ok_and(|members| members.is_empty()) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    fs::remove_dir(cgroup).expect("remove the cgroup");
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_detached_container_runs_on_and_shows_its_state() {
    if !possible("privileged_a_detached_container_runs_on_and_shows_its_state") {
        return;
    }
    let node = Node::new();
    let mut command = node.command(Base::Plain, "long", &["/bin/sleep", "1000"], &["--detach", "-o", "json"]);
    let started = run(&mut command, []).expect(0).json();
    let status = |id: &str| {
        let listed = node.dunnage(["list", "--status", "-o", "json"]).expect(0).json();
        let listed = listed.as_array().expect("a list").clone();
        listed.iter().find(|item| item["id"] == id).expect("the bundle")["status"].clone()
    };
    assert_eq!(status("long"), "running");
    assert!(Path::new(&format!("/proc/{}", started["pid"])).exists());
    let spec = node.spec(Base::Plain, "bare", &["/bin/true"], false);
    node.dunnage(["create", "bare", "--spec", spec.to_str().expect("UTF-8")]).expect(0);
    assert_eq!(status("bare"), "none");
    // Without its shim the container runs on, and is not deleted by accident.
    node.dunnage(["shim", "stop", "long", "--kill"]).expect(0);
    assert_eq!(status("long"), "running");
    let refused = node.dunnage(["delete", "long"]).expect(6);
    assert!(refused.stderr.contains("container of the bundle is still running"), "{refused:?}");
    node.dunnage(["delete", "long", "bare", "--force"]).expect(0);
    node.expect_nothing_left();
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_options_become_arguments_of_the_shim() {
    if !possible("privileged_options_become_arguments_of_the_shim") {
        return;
    }
    let node = node_with_bundle();
    let root = node.runtime_root();
    let root = root.to_str().expect("UTF-8");
    let arguments = ["shim", "start", "web", "--debug", "--systemd-cgroup", "--runtime-root", root, "-o", "json"];
    let started = node.dunnage(arguments).expect(0).json();
    let line = fs::read(format!("/proc/{}/cmdline", started["pid"])).expect("its arguments");
    let line = String::from_utf8(line).expect("UTF-8");
    let words: Vec<_> = line.split('\0').collect();
    assert!(words.contains(&"-debug") && words.contains(&"-systemd-cgroup"), "{words:?}");
    assert!(words.windows(2).any(|pair| pair == ["-runtime-root", root]), "{words:?}");
    node.dunnage(["delete", "web", "--force"]).expect(0);
    node.expect_nothing_left();
}

#[test]
fn no_bundle_no_shim() {
    let scratch = Scratch::new();
    for command in ["start", "info", "stop"] {
        scratch.run(["shim", command, "web"]).expect(5);
        scratch.run(["shim", command, "../web"]).expect(3);
    }
    assert_eq!(scratch.tree(), [] as [String; 0]);
}
