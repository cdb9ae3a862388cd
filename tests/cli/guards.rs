//! Guards: what they are asked, what follows, and the settings file that names them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use dunnage_tests::binary::{Outcome, run};
use dunnage_tests::{Scratch, scratch::repository};
use serde_json::{Value, json};

use super::{keys, sorted};

/// A container as `runc spec` makes it.
fn usual() -> Value {
    let file = repository().join("guest/baseline/src/tests/usual.json");
    serde_json::from_slice(&fs::read(file).expect("a spec")).expect("JSON")
}

struct Node(Scratch);

impl Node {
    fn new() -> Self {
        Self(Scratch::new())
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let file = self.0.path().join(name);
        fs::write(&file, content).expect("write");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
        file
    }

    /// Runs a command with a settings file.
    fn with(&self, settings: &str, arguments: &[&str]) -> Outcome {
        let file = self.file("dunnage.toml", settings);
        run(self.0.command(arguments.iter().copied()).arg("--config").arg(file), [])
    }

    fn check(&self, spec: &Value, more: &[&str]) -> Outcome {
        let file = self.file("spec.json", &spec.to_string());
        run(self.0.command(["guard", "check", "-o", "json", "--spec"]).arg(file).args(more), [])
    }
}

const BASELINE: &str = "[[guard]]\nname = \"baseline\"\n";

#[test]
fn a_usual_spec_passes_and_a_privileged_one_is_denied_with_rule_and_place() {
    let node = Node::new();
    let verdict = node.check(&usual(), &[]).expect(0).json();
    assert_eq!(keys(&verdict), sorted(["verdict", "guard", "rule", "reason", "pointer", "warnings"]));
    assert_eq!((&verdict["verdict"], &verdict["guard"]), (&json!("allow"), &Value::Null));
    let mut spec = usual();
    spec["process"]["capabilities"]["bounding"] = json!(["CAP_CHOWN", "CAP_SYS_ADMIN"]);
    let verdict = node.check(&spec, &[]).expect(8).json();
    assert_eq!((&verdict["verdict"], &verdict["guard"]), (&json!("deny"), &json!("baseline")));
    assert_eq!(
        (&verdict["rule"], &verdict["pointer"]),
        (&json!("capabilities"), &json!("/process/capabilities/bounding/1"))
    );
    let process = node.check(&spec["process"], &["--operation", "exec"]).expect(8).json();
    assert_eq!(process["pointer"], "/capabilities/bounding/1");
    let limits = json!({"devices":[{"allow":true,"access":"rwm"}]});
    assert_eq!(node.check(&limits, &["--operation", "update"]).expect(8).json()["rule"], "devices");
    // Settings of one's own, and those that are wrong.
    let settings = node.file("settings.json", r#"{"allowedCapabilities":["SYS_ADMIN"]}"#);
    let settings = settings.to_str().expect("UTF-8");
    node.check(&spec, &["--guard", "baseline", "--settings", settings]).expect(0);
    node.file("settings.json", r#"{"allowed":1}"#);
    let failed = node.check(&spec, &["--guard", "baseline", "--settings", settings]).expect(7);
    assert!(failed.stderr.contains("guard-rejected") && failed.stderr.contains("unknown field"), "{failed:?}");
    node.check(&spec, &["--guard", "other"]).expect(5);
    let unreadable = node.file("bad.json", r#"{"Linux":{}}"#);
    let outcome = node.0.run(["guard", "check", "--spec", unreadable.to_str().expect("UTF-8")]).expect(8);
    assert!(outcome.stdout.contains("denied by baseline, rule unreadable at /linux"), "{outcome:?}");
}

#[test]
fn guards_of_the_settings_file_are_asked_before_a_bundle_is_made() {
    let node = Node::new();
    let mut spec = usual();
    spec["process"]["env"] = json!(["PASSWORD=hunter2"]);
    let good = node.file("good.json", &spec.to_string());
    spec["linux"]["namespaces"] = json!([]);
    let bad = node.file("bad.json", &spec.to_string());
    let [good, bad] = [&good, &bad].map(|file| file.to_str().expect("UTF-8"));
    node.with(BASELINE, &["create", "web", "--spec", good]).expect(0);
    let denied = node.with(BASELINE, &["create", "bad", "--spec", bad]).expect(8);
    assert_eq!(
        denied.stderr,
        "dunnage: create default/bad: review: the guard \"baseline\" denies it by its rule host-namespaces at \
         /linux/namespaces: it would share the pid namespace with the node\n"
    );
    assert!(!node.0.bundle("bad").exists());
    // Without the file nobody is asked; in audit mode it is only told.
    node.0.run(["create", "unasked", "--spec", bad]).expect(0);
    let audited = format!("{BASELINE}mode = \"audit\"\n");
    node.with(&audited, &["create", "audited", "--spec", bad]).expect(0);
    // One that cannot be asked denies.
    let zeros = format!("{BASELINE}digest = \"sha256:{:064}\"\n", 0);
    let failed = node.with(&zeros, &["create", "other", "--spec", good]).expect(7);
    assert!(failed.stderr.contains("has the digest sha256:"), "{failed:?}");
    let wrong = format!("{BASELINE}[guard.settings]\nprofile = \"none\"\n");
    node.with(&wrong, &["create", "other", "--spec", good]).expect(7);
    assert!(!node.0.bundle("other").exists());
    // All of that is on record, and no secret.
    let all = node.0.run(["decisions"]).expect(0).stdout;
    let decisions: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let verdicts: Vec<_> = decisions.iter().map(|decision| (&decision["id"], &decision["verdict"])).collect();
    let expected =
        [("web", "allowed"), ("bad", "denied"), ("audited", "allowed"), ("other", "failed"), ("other", "failed")];
    assert_eq!(verdicts.len(), expected.len(), "{all}");
    for ((id, verdict), found) in expected.iter().zip(&verdicts) {
        assert_eq!((found.0, found.1), (&json!(id), &json!(verdict)), "{all}");
    }
    assert!(
        decisions[2]["notes"][0]
            .as_str()
            .is_some_and(|note| note.contains("would deny it by its rule host-namespaces"))
    );
    assert!(!all.contains("hunter2"));
    assert_eq!(node.0.run(["decisions", "--denied"]).expect(0).stdout.lines().count(), 3);
    assert_eq!(node.0.run(["decisions", "-n", "elsewhere"]).expect(0).stdout, "");
}

#[test]
fn guards_are_listed_inspected_and_verified() {
    let node = Node::new();
    let listed = node.0.run(["guard", "list", "-o", "json"]).expect(0).json();
    assert_eq!((&listed[0]["name"], &listed[0]["configured"]), (&json!("baseline"), &json!(false)));
    let shown = node.with(BASELINE, &["guard", "inspect", "baseline", "-o", "json"]).expect(0).json();
    assert_eq!(
        keys(&shown),
        sorted(["name", "source", "mode", "configured", "digest", "version", "operations", "reads", "settings"])
    );
    assert_eq!(shown["operations"], json!(["create", "exec", "update", "restore"]));
    let digest = shown["digest"].as_str().expect("a digest");
    let pinned = format!("{BASELINE}digest = \"{digest}\"\n");
    assert_eq!(node.with(&pinned, &["guard", "verify"]).expect(0).stdout, "baseline\n");
    node.with(&pinned, &["config", "check"]).expect(0);
    node.0.run(["guard", "inspect", "other"]).expect(5);
    let twice = format!("{BASELINE}{BASELINE}");
    node.with(&twice, &["guard", "verify"]).expect(2);
    node.0
        .run(
            ["bench", "guard", "--count", "10", "--spec"].map(String::from).into_iter().chain([node
                .file("spec.json", &usual().to_string())
                .to_str()
                .expect("UTF-8")
                .to_owned()]),
        )
        .expect(0);
}

#[test]
fn a_directory_of_cases_is_compared() {
    let node = Node::new();
    let cases = node.0.path().join("cases");
    fs::create_dir(&cases).expect("a directory");
    let mut spec = usual();
    fs::write(cases.join("good.json"), spec.to_string()).expect("write");
    fs::write(cases.join("process.json"), spec["process"].to_string()).expect("write");
    spec["process"]["apparmorProfile"] = json!("unconfined");
    fs::write(cases.join("bad.json"), spec.to_string()).expect("write");
    let test = |expected: &str| {
        fs::write(cases.join("expected"), expected).expect("write");
        node.0.run(["guard", "test", "baseline", "-o", "json", "--cases", cases.to_str().expect("UTF-8")])
    };
    let report =
        test("# comment\ngood.json allow\nbad.json deny apparmor /process/apparmorProfile\nexec process.json allow\n");
    assert_eq!(report.expect(0).json(), json!({"cases": 3, "different": []}));
    let report = test("good.json deny seccomp\nbad.json deny apparmor\n").expect(1).json();
    assert_eq!(report["different"], json!([{"file": "good.json", "expected": "deny seccomp", "found": "allow"}]));
    for wrong in ["good.json\n", "good.json maybe\n", "gone.json allow\n"] {
        assert!(matches!(test(wrong).code, Some(1 | 2)), "{wrong}");
    }
}

#[test]
fn the_settings_file_has_what_the_command_line_has_and_counts_less() {
    let node = Node::new();
    let elsewhere = node.0.path().join("elsewhere");
    let settings = format!("state = {:?}\nnamespace = \"moby\"\n", elsewhere.join("state"));
    let spec = node.file("spec.json", &usual().to_string());
    let spec = spec.to_str().expect("UTF-8");
    // The environment of tests names a state directory.
    node.with(&settings, &["create", "one", "--spec", spec]).expect(0);
    assert!(node.0.state().join("moby/one").exists());
    let file = node.file("dunnage.toml", &settings);
    let mut command = node.0.command(["create", "two", "--spec", spec, "-n", "other"]);
    run(command.arg("--config").arg(&file).env("DUNNAGE_STATE", ""), []).expect(0);
    assert!(elsewhere.join("state/other/two").exists());
    let mut listed = node.0.command(["list", "-A", "-o", "json"]);
    let listed = run(listed.env("DUNNAGE_CONFIG", &file).env("DUNNAGE_STATE", ""), []).expect(0).json();
    assert_eq!(listed[0]["id"], "two");
}

#[test]
fn a_settings_file_that_is_wrong_or_not_ours_alone_is_refused() {
    let node = Node::new();
    for (content, why) in [
        ("stat = \"x\"\n", "line 1, column 1: unknown field `stat`"),
        ("[[guard]]\nname = \"elsewhere\"\n", "there is no guard \"elsewhere\""),
        ("state = \n", "line 1"),
        ("output = \"xml\"\n", "xml"),
    ] {
        let refused = node.with(content, &["list"]).expect(2);
        assert!(refused.stderr.contains(why), "{content}: {refused:?}");
    }
    let file = node.file("dunnage.toml", BASELINE);
    let list = |path: &std::path::Path| run(node.0.command(["list", "-o", "json", "--config"]).arg(path), []);
    list(&file).expect(0);
    for mode in [0o620, 0o602, 0o666] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode");
        let refused = list(&file).expect(2);
        assert!(refused.stderr.contains("others can change it"), "{refused:?}");
    }
    let link = node.0.path().join("link.toml");
    std::os::unix::fs::symlink(&file, &link).expect("a link");
    assert!(list(&link).expect(2).stderr.contains("links are not followed"));
    assert!(list(&node.0.path().join("gone.toml")).expect(2).stderr.contains("there is no such file"));
    let open = node.0.path().join("open");
    fs::create_dir(&open).expect("a directory");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("a mode");
    fs::write(open.join("dunnage.toml"), BASELINE).expect("write");
    list(&open.join("dunnage.toml")).expect(2);
    // Of two files nobody knows which one counts.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    let mut twice = node.0.command(["list", "--config"]);
    run(twice.arg(&file).arg("--config").arg(&file), []).expect(2);
    std::os::unix::fs::symlink(node.0.path().join("nowhere"), node.0.path().join("dangling")).expect("a link");
    list(&node.0.path().join("dangling/dunnage.toml")).expect(2);
}

/// What is allowed and cannot be recorded is not done.
#[test]
fn a_decision_that_cannot_be_recorded_is_none() {
    let node = Node::new();
    let spec = node.file("spec.json", &usual().to_string());
    let spec = spec.to_str().expect("UTF-8");
    node.with(BASELINE, &["create", "one", "--spec", spec]).expect(0);
    let log = node.0.state().join(".dunnage/decisions/log");
    fs::remove_file(&log).expect("remove");
    fs::create_dir(&log).expect("a directory");
    let failed = node.with(BASELINE, &["create", "two", "--spec", spec]).expect(1);
    assert!(failed.stderr.contains("record-decision") && !node.0.bundle("two").exists(), "{failed:?}");
}
