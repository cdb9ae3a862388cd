//! The crates of the product stand on floors: each depends on lower ones only, each outside library has its
//! crate, and privileged calls are made by `dunnage-sys` alone. `cargo test --test layers -- --nocapture`
//! prints the graph.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use dunnage_tests::scratch::repository;
use serde_json::Value;

/// From the ground up. A crate may depend on crates of lower floors.
const FLOORS: [&[&str]; 8] = [
    &["dunnage-sys", "dunnage-shim-proto", "dunnage-async", "dunnage-policy-artifact", "dunnage-confine"],
    &["dunnage-core", "dunnage-oci-runtime"],
    &["dunnage-sandbox", "dunnage-store", "dunnage-shim-service", "dunnage-task-log"],
    &["dunnage-broker", "dunnage-events", "dunnage-guards"],
    &["dunnage-bundles"],
    &["dunnage-shims"],
    &["dunnage"],
    &["dunnage-cli"],
];

/// The same of what runs in the sandbox.
const GUESTS: [&[&str]; 3] =
    [&["dunnage-go-json", "dunnage-guest-runtime"], &["dunnage-policy", "dunnage-guard"], &["dunnage-baseline"]];

/// Libraries that only these may use.
const LIBRARIES: [(&str, &[&str]); 8] = [
    ("wasmtime", &["dunnage-sandbox"]),
    ("landlock", &["dunnage-confine"]),
    ("seccompiler", &["dunnage-confine"]),
    ("clap", &["dunnage-cli"]),
    ("anyhow", &["dunnage-cli"]),
    ("ttrpc", &["dunnage-shim-proto", "dunnage-shim-service", "dunnage-shims"]),
    ("tokio", &["dunnage-async", "dunnage-shim-service", "dunnage-shims", "dunnage-cli"]),
    ("libc", &["dunnage-sys", "dunnage-confine", "dunnage-cli"]),
];

/// The parts of rustix that any crate may use: what is done with descriptors that the caller has.
const HARMLESS: [&str; 4] = ["io", "event", "pipe", "termios"];
/// What else of rustix a crate may use.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("broker", &["process::Pid", "process::Signal"]),
    ("bundles", &["process::Signal", "thread::sched_getaffinity"]),
    // Whether a terminal is ours.
    ("cli", &["process::getpgrp"]),
    // Giving rights up is what it is for.
    ("confine", &["thread::CapabilitySet", "thread::CapabilitySets", "thread::capabilities"]),
    ("confine", &["thread::clear_ambient_capability_set", "thread::remove_capability_from_bounding_set"]),
    ("confine", &["thread::set_capabilities", "thread::set_no_new_privs"]),
    // The policy's code is made executable.
    ("sandbox", &["mm::MprotectFlags", "mm::mprotect"]),
    ("shim-service", &["mount::MountFlags", "mount::MountPropagationFlags"]),
    ("shims", &["process::Signal"]),
    ("store", &[]),
];
/// Files that start programs.
const STARTERS: [&str; 6] = [
    "host/cli/src/bench/run.rs",
    "host/cli/src/doctor.rs",
    "host/cli/src/run/remover.rs",
    "host/oci-runtime/src/lib.rs",
    "host/shims/src/monitor.rs",
    "host/shims/src/spawn.rs",
];
/// What changes files by path.
const CHANGES: [&str; 10] = [
    "fs::write(",
    "fs::remove_",
    "fs::create_dir",
    "fs::rename(",
    "fs::set_permissions(",
    "fs::hard_link(",
    "fs::copy(",
    "File::create",
    "OpenOptions",
    "fs::symlink",
];

/// A crate of the workspace, and what it depends on: in its library and binary, not in tests.
type Graph = BTreeMap<String, Vec<String>>;

fn graph() -> Graph {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let output = cargo
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--locked"])
        .current_dir(repository())
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let used = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
            (text(&package["name"]), used.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

fn floor_of(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&name))
}

#[test]
fn crates_depend_downwards_only() {
    let graph = graph();
    check(&graph, &FLOORS);
    check(&graph, &GUESTS);
    let beside = ["dunnage-example-policy", "dunnage-tests", "dunnage-test-policies"];
    for name in graph.keys() {
        let has_floor = FLOORS.iter().chain(&GUESTS).any(|floor| floor.contains(&name.as_str()));
        assert!(has_floor || beside.contains(&name.as_str()), "{name} has no floor");
    }
}

fn check(graph: &Graph, floors: &[&[&str]]) {
    let floor_of = |name: &str| floors.iter().position(|floor| floor.contains(&name));
    for (number, floor) in floors.iter().enumerate().rev() {
        for name in *floor {
            let dependencies = graph.get(*name).unwrap_or_else(|| panic!("there is no crate {name}"));
            let ours: Vec<_> = dependencies.iter().filter(|name| name.starts_with("dunnage")).cloned().collect();
            println!(
                "{number}  {name} -> {}",
                if ours.is_empty() { "nothing of ours".to_owned() } else { ours.join(", ") }
            );
            for dependency in &ours {
                let below = floor_of(dependency).is_some_and(|floor| floor < number);
                assert!(below, "{name} depends on {dependency}, which is not below it");
            }
        }
    }
}

#[test]
fn libraries_stay_in_their_crates() {
    for (name, dependencies) in graph().iter().filter(|(name, _)| floor_of(name).is_some()) {
        for (library, users) in LIBRARIES {
            let uses = dependencies.iter().any(|dependency| dependency == library);
            assert!(!uses || users.contains(&name.as_str()), "{name} must not use {library}");
        }
    }
}

/// The code of a crate without its unit tests, file by file.
fn code(krate: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(krate).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
        if name.starts_with("tests") {
            continue;
        }
        if path.is_dir() {
            code(&path, found);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            let below = path.strip_prefix(repository()).expect("a path in the repository");
            found.push((below.to_str().expect("UTF-8").to_owned(), code));
        }
    }
}

/// The items that a `use` of rustix names, as `module::item`.
fn rustix_items(code: &str) -> Vec<String> {
    let mut items = Vec::new();
    let flat: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join(" ");
    for (at, _) in flat.match_indices("rustix::") {
        let rest = &flat[at + "rustix::".len()..];
        let Some((module, rest)) = rest.split_once("::") else { continue };
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default(),
        };
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            items.push(format!("{module}::{name}"));
        }
    }
    items
}

#[test]
fn privileged_calls_are_made_by_sys_alone() {
    let mut crates = vec![repository().join("host/src")];
    for entry in fs::read_dir(repository().join("host")).expect("the directory of crates") {
        let path = entry.expect("an entry").path();
        if path.join("Cargo.toml").is_file() && !path.ends_with("sys") && !path.ends_with("fuzz") {
            crates.push(path.join("src"));
        }
    }
    let mut starters = Vec::new();
    for krate in crates {
        let mut files = Vec::new();
        code(&krate, &mut files);
        for (file, code) in files {
            assert!(!code.contains("rustix::{"), "{file}: one `use` for each module of rustix, for this test");
            let calls = libc_calls(&code);
            assert!(calls.is_empty(), "{file} calls libc itself: {calls:?}");
            let name = file.split('/').nth(1).unwrap_or_default();
            let allowed = ALLOWED.iter().filter(|(krate, _)| *krate == name).flat_map(|(_, items)| items.iter());
            for item in rustix_items(&code) {
                let is_harmless = HARMLESS.iter().any(|module| item.starts_with(&format!("{module}::")));
                assert!(is_harmless || allowed.clone().any(|allowed| *allowed == item), "{file} uses rustix::{item}");
            }
            for change in CHANGES {
                assert!(!code.contains(change), "{file} changes files: {change}");
            }
            if code.contains("std::process") && code.contains("Command::new(") {
                starters.push(file);
            }
        }
    }
    starters.sort();
    assert_eq!(starters, STARTERS);
}

/// The functions of libc that are called; types and constants are none.
fn libc_calls(code: &str) -> Vec<&str> {
    let names = code.match_indices("libc::").map(|(at, prefix)| &code[at + prefix.len()..]);
    names
        .filter_map(|rest| rest.split_once('('))
        .map(|(name, _)| name)
        .filter(|name| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        })
        .collect()
}

/// Not even in words: what a crate is for must make sense without those above it.
#[test]
fn no_crate_names_a_higher_one() {
    for (number, floor) in FLOORS.iter().enumerate() {
        for krate in *floor {
            let Some(directory) = krate.strip_prefix("dunnage-").filter(|name| *name != "policy-artifact") else {
                continue;
            };
            let mut files = Vec::new();
            code(&repository().join("host").join(directory).join("src"), &mut files);
            for (file, code) in files {
                for higher in
                    FLOORS.iter().skip(number + 1).flat_map(|floor| floor.iter()).filter(|name| **name != "dunnage")
                {
                    for name in [(*higher).to_owned(), higher.replace('-', "_")] {
                        let named = code.match_indices(&name).any(|(at, name)| {
                            !code[at + name.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_')
                        });
                        assert!(!named, "{file} names {higher}, which is above it");
                    }
                }
            }
        }
    }
}

#[test]
fn calls_of_libc_are_found() {
    assert_eq!(libc_calls("libc::umount2(a); libc::SIGTERM (x) libc::c_int, f(libc::SIGHUP)"), ["umount2"]);
}

#[test]
fn items_of_rustix_are_found() {
    let code = "use rustix::fs::{Mode, openat};\n// rustix::net::x\nlet x = rustix::thread::gettid();\nuse rustix::mount::unmount;";
    assert_eq!(rustix_items(code), ["fs::Mode", "fs::openat", "thread::gettid", "mount::unmount"]);
}
