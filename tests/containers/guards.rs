//! Guards in front of real containers: what is denied does not run, with either shim.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use dunnage_tests::binary::{Outcome, run};
use dunnage_tests::containers::{Base, Node, each_shim};

/// What the specs of tests do not have, and so cannot be asked for.
const SETTINGS: &str = "[[guard]]\nname = \"baseline\"\n[guard.settings]\n\
    rules = { masked-paths = \"off\", host-namespaces = \"off\", host-paths = \"off\", cgroups = \"off\" }\n";

fn guarded(node: &Node, mut command: std::process::Command) -> Outcome {
    let file = node.scratch.path().join("dunnage.toml");
    fs::write(&file, SETTINGS).expect("write");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    run(command.env("DUNNAGE_CONFIG", file), [])
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_what_guards_deny_does_not_run() {
    each_shim("privileged_what_guards_deny_does_not_run", |node| {
        let spec = node.spec(Base::Plain, "c1", &["/bin/sleep", "1000"], false);
        let text = fs::read_to_string(&spec).expect("a spec");
        let mut bad: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        bad["process"]["apparmorProfile"] = "unconfined".into();
        let bad_spec = node.scratch.path().join("bad.json");
        fs::write(&bad_spec, bad.to_string()).expect("write");
        let denied = guarded(node, node.command_of(Base::Plain, "c0", &bad_spec, &["--rm"])).expect(125);
        assert!(denied.stderr.contains("denies it by its rule apparmor"), "{denied:?}");
        assert!(!node.scratch.bundle("c0").exists());
        // The bundle was made before there were guards.
        node.dunnage(["create", "c0", "--spec", bad_spec.to_str().expect("UTF-8")]).expect(0);
        let rootfs = node.rootfs(Base::Plain).to_str().expect("UTF-8").to_owned();
        let denied = guarded(node, node.scratch.command(["start", "c0", "--rootfs", &rootfs])).expect(8);
        assert!(denied.stderr.contains("rule apparmor"), "{denied:?}");
        assert_eq!(node.dunnage(["inspect", "c0", "-o", "json"]).expect(0).json()["status"], "none");
        node.dunnage(["delete", "c0"]).expect(0);
        // One that is allowed, and what is asked of it afterwards.
        guarded(node, node.command_of(Base::Plain, "c1", &spec, &["--detach"])).expect(0);
        guarded(node, node.scratch.command(["exec", "c1", "--", "true"])).expect(0);
        let process = node.scratch.path().join("process.json");
        let all = r#"{"args":["/bin/true"],"cwd":"/","user":{"uid":0},"capabilities":{"bounding":["CAP_SYS_ADMIN"]}}"#;
        fs::write(&process, all).expect("write");
        let exec = ["exec", "c1", "--process", process.to_str().expect("UTF-8")];
        let denied = guarded(node, node.scratch.command(exec)).expect(8);
        assert!(denied.stderr.contains("rule capabilities at /capabilities/bounding/0"), "{denied:?}");
        let limits = node.scratch.path().join("limits.json");
        fs::write(&limits, r#"{"devices":[{"allow":true,"access":"rwm"}]}"#).expect("write");
        let update = ["update", "c1", "--resources", limits.to_str().expect("UTF-8")];
        assert!(guarded(node, node.scratch.command(update)).expect(8).stderr.contains("rule devices"));
        fs::write(&limits, r#"{"pids":{"limit":77}}"#).expect("write");
        guarded(node, node.scratch.command(update)).expect(0);
        let told = node.dunnage(["decisions"]).expect(0).stdout;
        let verdicts: Vec<_> = told
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
            .map(|line| format!("{} {}", line["operation"].as_str().unwrap(), line["verdict"].as_str().unwrap()))
            .collect();
        let expected = [
            "create denied",
            "create denied",
            "create allowed",
            "exec allowed",
            "exec denied",
            "update denied",
            "update allowed",
        ];
        assert_eq!(verdicts, expected, "{told}");
        node.dunnage(["delete", "c1", "--force"]).expect(0);
        node.expect_nothing_left();
    });
}
