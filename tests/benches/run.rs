//! A container from its bundle to its end, beside the same by a real containerd:
//! `cargo bench -p dunnage-tests --bench run`.

use std::fs;

use dunnage_tests::containerd::Containerd;
use dunnage_tests::containers::{Base, Node, possible};
use dunnage_tests::mounts;

fn main() {
    if !possible("the comparison with containerd") {
        return;
    }
    let node = Node::new();
    mounts::private(|| {
        mounts::tmpfs("/run/containerd");
        let containerd = Containerd::start(&node.scratch.path().join("containerd"));
        let spec = node.spec(Base::Plain, "ours", &["/bin/true"], false);
        let theirs = spec.with_file_name("theirs.json");
        fs::copy(&spec, &theirs).expect("copy the spec");
        node.name_rootfs(Base::Plain, &theirs);
        let beside = |runtime: &str| {
            let (socket, spec) = (containerd.socket().display(), theirs.display());
            format!("ctr --address {socket} run --rm --runtime {runtime} --config {spec} {{}}")
        };
        let outcome = node
            .dunnage([
                "bench",
                "run",
                "--spec",
                spec.to_str().expect("UTF-8"),
                "--rootfs",
                node.rootfs(Base::Plain).to_str().expect("UTF-8"),
                "--count",
                "25",
                "--beside",
                &beside("io.containerd.runtime.v1.linux"),
                "--beside",
                &beside("io.containerd.runc.v2"),
            ])
            .expect(0);
        print!("{}", outcome.stdout);
        drop(containerd);
        mounts::umount("/run/containerd");
    });
}
