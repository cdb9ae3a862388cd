//! Shims, runc and containers inherit nothing of the confinement of who starts or ends them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use dunnage_tests::containers::{Base, Node, possible};
use dunnage_tests::run;

/// What would have been inherited.
const FIELDS: [&str; 6] = ["CapBnd", "CapPrm", "CapEff", "CapInh", "NoNewPrivs", "Seccomp"];

fn fields(status: &str) -> BTreeMap<String, String> {
    let fields = status.lines().filter_map(|line| line.split_once(':'));
    fields
        .filter(|(name, _)| FIELDS.contains(name))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn of(pid: impl std::fmt::Display) -> BTreeMap<String, String> {
    fields(&fs::read_to_string(format!("/proc/{pid}/status")).expect("the status of a process"))
}

#[test]
fn privileged_shims_inherit_nothing() {
    if !possible("privileged_shims_inherit_nothing") {
        return;
    }
    let node = Node::new();
    let spec = node.spec(Base::Plain, "web", &["/bin/sleep", "1000"], false);
    let ran = run(&mut node.command_of(Base::Plain, "web", &spec, &["--detach", "-o", "json"]), []).expect(0).json();
    assert_eq!(of(&ran["shim_pid"]), of("self"));
    // What the container gives up is what its spec says.
    assert_eq!((&*of(&ran["pid"])["Seccomp"], of(&ran["pid"]).len()), ("0", FIELDS.len()));
    node.dunnage(["delete", "web", "--force"]).expect(0);
    node.expect_nothing_left();
}

/// A directory with a runc that writes down who it is.
fn spying(node: &Node, proof: &Path) -> PathBuf {
    let directory = node.scratch.path().join("spying");
    fs::create_dir(&directory).expect("a directory");
    let script = format!(
        "#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\ncat /proc/self/status >> {}\nexec runc \"$@\"\n",
        proof.display()
    );
    fs::write(directory.join("runc"), script).expect("a script");
    fs::set_permissions(directory.join("runc"), fs::Permissions::from_mode(0o755)).expect("its mode");
    directory
}

#[test]
fn privileged_runc_inherits_nothing_of_a_delete() {
    if !possible("privileged_runc_inherits_nothing_of_a_delete") {
        return;
    }
    let node = Node::new();
    let spec = node.spec(Base::Plain, "web", &["/bin/sleep", "1000"], false);
    run(&mut node.command_of(Base::Plain, "web", &spec, &["--detach"]), []).expect(0);
    let proof = node.scratch.path().join("proof");
    let mut delete = node.scratch.command(["delete", "web", "--force"]);
    run(delete.env("PATH", spying(&node, &proof)), []).expect(0);
    let seen = fs::read_to_string(&proof).expect("runc was run");
    let runs: Vec<_> = seen.split("Name:").skip(1).map(fields).collect();
    assert!(runs.len() >= 2, "{seen}");
    for run in runs {
        assert_eq!(run, of("self"));
    }
    node.expect_nothing_left();
}
