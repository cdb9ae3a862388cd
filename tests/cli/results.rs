//! What each command prints: JSON for programs, tables for people.

use std::fs;
use std::process::Command;

use dunnage_tests::binary::Build;
use dunnage_tests::{Scratch, hostile, privileges, run};
use serde_json::json;

use super::{create, keys, sorted, spec};

/// An address with containerd's defaults, from the reference.
const REDIS: &str = "unix:///run/containerd/s/911113b1235bc0a0e2871a31734820d6e49b0374fa90137e8b040fd42ae643cc";

#[test]
fn create_prints_what_it_made() {
    let scratch = Scratch::new();
    let outcome = create(&scratch, "web-1");
    let address = scratch.dunnage().shim_address(&dunnage_tests::scratch::id("web-1")).unwrap();
    let expected = json!({
        "namespace": "default",
        "id": "web-1",
        "bundle": scratch.bundle("web-1"),
        "work_dir": scratch.work_dir("web-1"),
        "remapped_gid": 0,
        "shim_address": address,
    });
    assert_eq!(outcome.json(), expected);
    assert_eq!(outcome.stdout.lines().count(), 1);
    assert_eq!(outcome.stderr, "");

    let table = scratch.run(["create", "web-2", "--spec", &spec("plain.json")]).expect(0);
    assert!(table.stdout.contains(&format!("bundle        {}\n", scratch.bundle("web-2").display())), "{table:?}");
    assert!(table.stdout.contains("remapped gid  0\n"), "{table:?}");
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_create_prints_the_remapped_group() {
    if !privileges::root("a remapped bundle") {
        return;
    }
    let scratch = Scratch::new();
    let outcome = scratch.run(["create", "web-1", "--spec", &spec("userns.json"), "-o", "json"]).expect(0);
    assert_eq!(outcome.json()["remapped_gid"], 100_000);
}

#[test]
fn delete_prints_what_it_deleted_itself() {
    let scratch = Scratch::new();
    for id in ["a", "b", "c"] {
        create(&scratch, id);
    }
    let outcome = scratch.run(["delete", "a", "gone", "b", "-o", "json"]).expect(0);
    assert_eq!(outcome.json(), json!({ "deleted": ["a", "b"] }));
    let outcome = scratch.run(["delete", "a", "b", "-o", "json"]).expect(0);
    assert_eq!(outcome.json(), json!({ "deleted": [] }));
    assert_eq!(scratch.run(["delete", "c", "--force"]).expect(0).stdout, "c\n");
    assert_eq!(scratch.run(["delete", "c"]).expect(0).stdout, "");
}

#[test]
fn list_prints_the_bundles_of_a_namespace_or_of_all() {
    let scratch = Scratch::new();
    let list = |arguments: &[&str]| {
        let outcome = scratch.run([&["list", "-o", "json"], arguments].concat()).expect(0).json();
        let items = outcome.as_array().expect("an array").clone();
        items.iter().map(|item| format!("{}/{}", item["namespace"], item["id"]).replace('"', "")).collect::<Vec<_>>()
    };
    assert_eq!(list(&[]), [""; 0]);
    assert_eq!(scratch.tree(), [""; 0], "a listing makes nothing");
    for id in ["b", "a"] {
        create(&scratch, id);
    }
    scratch.run(["-n", "moby", "create", "c", "--spec", &spec("plain.json")]).expect(0);
    // Leftovers, and what was never a bundle.
    for junk in ["default/.a.0123456789abcdef", "default/.x", "default/not valid", ".dunnage", "not valid"] {
        fs::create_dir_all(scratch.state().join(junk)).unwrap();
    }
    fs::write(scratch.state().join("default/file"), "").unwrap();
    assert_eq!(list(&[]), ["default/a", "default/b"]);
    assert_eq!(list(&["-n", "moby"]), ["moby/c"]);
    assert_eq!(list(&["-n", "none"]), [""; 0]);
    for all in ["-A", "--all-namespaces"] {
        assert_eq!(list(&[all]), ["default/a", "default/b", "moby/c"]);
    }
    let json = scratch.run(["list", "-o", "json"]).expect(0).json();
    assert_eq!(keys(&json[0]), sorted(["namespace", "id", "bundle", "work_dir", "mode", "gid", "created"]));

    let table = scratch.run(["list", "-A"]).expect(0).stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert!(lines[0].starts_with("NAMESPACE  ID  MODE"), "{table}");
    let columns = |line: &str| line.find(" 0700 ").or_else(|| line.find(" MODE ")).expect("a column");
    assert!(lines.iter().all(|line| columns(line) == columns(lines[0])), "aligned columns: {table}");
}

#[test]
fn inspect_prints_what_there_is_to_know() {
    let scratch = Scratch::new();
    create(&scratch, "web-1");
    let before = scratch.tree();
    let found = scratch.run(["inspect", "web-1", "-o", "json"]).expect(0).json();
    let known = [
        "namespace",
        "id",
        "bundle",
        "work_dir",
        "mode",
        "gid",
        "created",
        "address",
        "shim_pid",
        "shim_alive",
        "status",
        "pid",
        "exit_code",
        "started",
        "ended",
    ];
    assert_eq!(keys(&found), sorted(known));
    assert_eq!((&found["mode"], &found["gid"]), (&json!("0700"), &json!(privileges::own_ids().1)));
    assert_eq!(
        (&found["address"], &found["shim_pid"], &found["shim_alive"]),
        (&json!(null), &json!(null), &json!(null))
    );
    let created = found["created"].as_str().unwrap();
    assert!(created.starts_with("20") && created.ends_with('Z') && created.contains('T'), "{created}");

    fs::write(scratch.bundle("web-1").join("address"), "unix:///run/containerd/s/x").unwrap();
    fs::write(scratch.bundle("web-1").join("shim.pid"), "1").unwrap();
    let found = scratch.run(["inspect", "web-1", "-o", "json"]).expect(0).json();
    assert_eq!(found["address"], "unix:///run/containerd/s/x");
    assert_eq!((&found["shim_pid"], &found["shim_alive"]), (&json!(1), &json!(false)));
    let table = scratch.run(["inspect", "web-1"]).expect(0).stdout;
    assert!(table.contains("shim pid   1 (gone)\n"), "{table}");
    assert!(table.contains("mode       0700\n"), "{table}");

    let mut shim = Command::new("sleep").arg("60").current_dir(scratch.bundle("web-1")).spawn().unwrap();
    fs::write(scratch.bundle("web-1").join("shim.pid"), shim.id().to_string()).unwrap();
    let alive = scratch.run(["inspect", "web-1", "-o", "json"]).json()["shim_alive"].clone();
    shim.kill().unwrap();
    shim.wait().unwrap();
    assert_eq!(alive, true);
    assert_eq!(scratch.tree().len(), before.len() + 2, "looking makes nothing");
}

#[test]
fn gid_prints_the_bare_number() {
    let scratch = Scratch::new();
    for (file, gid) in [("plain.json", 0), ("userns.json", 100_000), ("seccomp.json", 100_000)] {
        assert_eq!(scratch.run(["gid", "--spec", &spec(file)]).expect(0).stdout, format!("{gid}\n"));
        let json = scratch.run(["gid", "--spec", &spec(file), "-o", "json"]).expect(0);
        assert_eq!(json.stdout, format!("{{\"remapped_gid\":{gid}}}\n"));
    }
    assert_eq!(scratch.tree(), [""; 0]);
}

#[test]
fn a_spec_called_dash_is_read_from_standard_input() {
    let scratch = Scratch::new();
    let text = r#"{"linux":{"gidMappings":[{"hostID":4711}]}}"#;
    assert_eq!(run(&mut scratch.command(["gid", "--spec", "-"]), text).expect(0).stdout, "4711\n");
    let plain = fs::read(spec("plain.json")).unwrap();
    run(&mut scratch.command(["create", "web", "--spec", "-"]), &plain).expect(0);
    assert_eq!(fs::read(scratch.bundle("web").join("config.json")).unwrap(), plain);
}

#[test]
fn shim_address_prints_the_bare_address() {
    let scratch = Scratch::new();
    let address = |arguments: &[&str]| {
        let mut command = scratch.command([&["shim", "address", "redis7", "-n", "moby"], arguments].concat());
        run(command.env_remove("DUNNAGE_SOCKET_ROOT"), []).expect(0).stdout
    };
    assert_eq!(address(&[]), format!("{REDIS}\n"));
    assert_eq!(address(&["-o", "json"]), format!("{{\"address\":\"{REDIS}\"}}\n"));
    assert_eq!(address(&["--legacy"]), "/containerd-shim/moby/redis7/shim.sock\n");
    assert_eq!(address(&["--socket-root", "/s/"]), format!("unix:///s/{}\n", REDIS.rsplit('/').next().unwrap()));
    assert_ne!(address(&["-a", ""]), format!("{REDIS}\n"));
    assert_eq!(scratch.tree(), [""; 0]);
}

#[test]
fn shim_connect_address_prints_what_is_on_file() {
    let scratch = Scratch::new();
    create(&scratch, "web");
    let none = scratch.run(["shim", "connect-address", "web"]).expect(5);
    assert!(none.stdout.is_empty() && none.stderr.contains("no shim address is on file"), "{none:?}");
    let legacy = scratch.run(["shim", "connect-address", "web", "--allow-legacy", "-o", "json"]).expect(0);
    assert_eq!(legacy.json(), json!({ "address": "/containerd-shim/default/web/shim.sock" }));
    let address = scratch.run(["shim", "address", "web"]).expect(0).stdout;
    fs::write(scratch.bundle("web").join("address"), address.trim_end()).unwrap();
    assert_eq!(scratch.run(["shim", "connect-address", "web"]).expect(0).stdout, address);
    scratch.run(["shim", "connect-address", "nothing", "--allow-legacy"]).expect(5);
}

#[test]
fn shim_config_prints_the_settings() {
    let scratch = Scratch::new();
    let config = |arguments: &[&str]| {
        scratch.run([&["shim", "config", "web", "-n", "moby", "-o", "json"], arguments].concat()).expect(0).json()
    };
    let expected = |runtime_root: &str, systemd_cgroup: bool| {
        json!({
            "path": scratch.state().join("moby/web"),
            "work_dir": scratch.root().join("moby/web"),
            "namespace": "moby",
            "runtime_root": runtime_root,
            "systemd_cgroup": systemd_cgroup,
        })
    };
    assert_eq!(config(&[]), expected("", false));
    assert_eq!(config(&["--runtime-root", "/node"]), expected("/node", false));
    assert_eq!(config(&["--runtime-root", "/node", "--runc-runtime-root", "/own"]), expected("/own", false));
    assert_eq!(config(&["--runtime-root", "/node", "--runc-runtime-root", ""]), expected("/node", false));
    assert_eq!(config(&["--runtime-root", "/node", "--systemd-cgroup"]), expected("/node", true));
    let table = scratch.run(["shim", "config", "web", "--systemd-cgroup"]).expect(0).stdout;
    assert!(table.contains("systemd cgroup  true\n"), "{table}");
}

#[test]
fn bench_prints_its_figures() {
    let scratch = Scratch::new();
    for operation in ["cycle", "gid"] {
        let arguments =
            ["bench", operation, "--spec", &spec("plain.json"), "--count", "21", "--jobs", "4", "-o", "json"];
        let report = scratch.run(arguments).expect(0).json();
        assert_eq!((&report["count"], &report["jobs"]), (&json!(21), &json!(4)));
        let figure = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name}: {report}"));
        for name in ["ops_per_second", "mean_us", "p50_us", "p99_us"] {
            assert!(figure(name) > 0.0, "{name}: {report}");
            assert!(report[name].is_f64(), "{name} has decimals: {report}");
        }
        assert!(figure("p50_us") <= figure("p99_us"), "{report}");
    }
    assert_eq!(scratch.run(["list", "-A", "-o", "json"]).expect(0).json(), json!([]));
    assert!(
        scratch.run(["bench", "gid", "--spec", &spec("plain.json"), "--count", "3"]).expect(0).stdout.contains("µs")
    );
}

#[test]
fn policy_inspect_prints_what_the_policy_is_and_what_confines_it() {
    let scratch = Scratch::new();
    let report = scratch.run(["policy", "inspect", "-o", "json"]).expect(0).json();
    assert_eq!(report["imports"], json!(["dunnage:bundle/filesystem@0.1.0"]));
    assert_eq!(
        sorted_texts(&report["exports"]),
        ["dunnage:bundle/bundles@0.1.0", "dunnage:bundle/shims@0.1.0", "dunnage:bundle/tasks@0.1.0"]
    );
    assert_eq!(report["world"], "dunnage:bundle/policy@0.1.0");
    let digest = report["digest"].as_str().unwrap();
    assert!(digest.len() == 71 && digest.starts_with("sha256:"), "{digest}");
    // Compiled from a copy without the post-returns.
    let compiled = report["compiled_digest"].as_str().unwrap();
    assert!(compiled.len() == 71 && compiled.starts_with("sha256:") && compiled != digest, "{compiled}");
    assert_eq!(report["limits"]["spec_bytes"], 16 << 20);
    assert!(report["confinement"].as_array().is_some_and(|walls| walls.len() >= 2), "{report}");
    let table = scratch.run(["policy", "inspect"]).expect(0).stdout;
    assert!([digest, compiled, "spec limit"].iter().all(|text| table.contains(text)), "{table}");
}

#[test]
fn policy_verify_says_so() {
    let scratch = Scratch::new();
    let report = scratch.run(["policy", "verify", "-o", "json"]).expect(0).json();
    assert_eq!(report["verified"], true);
    let digest = report["digest"].as_str().unwrap();
    scratch.run(["policy", "verify", "--policy-digest", digest]).expect(0);
}

/// A digest that is named and not compared would be worse than none.
#[test]
fn policy_verify_compares_the_digest_of_the_built_in_policy_too() {
    let scratch = Scratch::new();
    let wrong = format!("sha256:{}", "0".repeat(64));
    let outcome = scratch.run(["policy", "verify", "--policy-digest", &wrong]).expect(7);
    assert!(outcome.stderr.contains("wrong digest") && outcome.stderr.contains(&wrong), "{outcome:?}");
    for line in [&["list"][..], &["create", "web", "--spec", &spec("plain.json")], &["policy", "inspect"]] {
        scratch.run([line, &["--policy-digest", &wrong]].concat()).expect(7);
    }
    assert_eq!(scratch.tree(), [""; 0]);
}

#[test]
fn policy_files_are_inspected_and_verified() {
    let scratch = Scratch::new();
    let run_with = |arguments: &[&str]| run(&mut scratch.command_of(Build::PolicyFile, arguments), []);
    let digest = hostile::digest();
    let report = run_with(&["policy", "inspect", hostile::POLICY, "-o", "json"]).expect(0).json();
    assert_eq!((&report["digest"], &report["source"]), (&json!(digest), &json!(hostile::POLICY)));
    assert_eq!(report["compiled_digest"], report["digest"]);
    let report =
        run_with(&["policy", "verify", hostile::POLICY, "--policy-digest", &digest, "-o", "json"]).expect(0).json();
    assert_eq!((&report["digest"], &report["verified"]), (&json!(digest), &json!(true)));
    run_with(&["policy", "verify", hostile::POLICY]).expect(2);
}

/// The texts of an array, sorted.
fn sorted_texts(array: &serde_json::Value) -> Vec<&str> {
    let mut texts: Vec<_> = array.as_array().expect("an array").iter().filter_map(|text| text.as_str()).collect();
    texts.sort_unstable();
    texts
}
