//! Files that are not a policy: the wrong digest, not a component, a component of another world.

use std::path::{Path, PathBuf};

use dunnage::{ErrorKind, PolicySource};
use dunnage_tests::binary::{self, Build};
use dunnage_tests::hostile;
use dunnage_tests::scratch::id;
use dunnage_tests::{Scratch, run, specs};
use wasmparser::{Parser, Payload};

/// Writes a policy to a file of its own.
pub(crate) fn policy_file(scratch: &Scratch, bytes: &[u8]) -> PolicySource {
    let path = (0..).map(|n| scratch.path().join(format!("policy-{n}.wasm"))).find(|path| !path.exists());
    let path = path.expect("a free name");
    std::fs::write(&path, bytes).expect("write the policy");
    PolicySource::file_unchecked(path).expect("a policy file")
}

/// The hostile policy with one more core module, which is instantiated along with it.
///
/// A component is a sequence of sections, so whatever is to be added goes at the end.
pub(crate) fn with_module(wat: &str) -> Vec<u8> {
    let mut component = std::fs::read(hostile::POLICY).expect("the hostile policy");
    let index = core_modules(&component);
    let module = wat::parse_str(wat).expect("a module");
    section(&mut component, 1, &module);
    // One core instance: instantiate the module, without arguments.
    let mut instance = vec![1, 0];
    leb128(&mut instance, index);
    instance.push(0);
    section(&mut component, 2, &instance);
    component
}

/// How many core modules lie in a component itself, not in one that is nested.
fn core_modules(component: &[u8]) -> usize {
    let (mut depth, mut count) = (0_i32, 0);
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.expect("a valid component");
        if matches!(payload, Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) {
            count += usize::from(depth == 0 && matches!(payload, Payload::ModuleSection { .. }));
            depth += 1;
        } else if matches!(payload, Payload::End(_)) {
            depth -= 1;
        }
    }
    count
}

fn section(component: &mut Vec<u8>, kind: u8, content: &[u8]) {
    component.push(kind);
    leb128(component, content.len());
    component.extend_from_slice(content);
}

fn leb128(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).expect("seven bits"));
}

/// Files that are not a policy, and what the message says about each.
fn bad_policies() -> Vec<(&'static str, Vec<u8>, &'static [&'static str])> {
    let hostile = std::fs::read(hostile::POLICY).expect("the hostile policy");
    let truncated = hostile.get(..hostile.len() / 2).expect("half of it").to_vec();
    let wat = |text: &str| wat::parse_str(text).expect("a component");
    vec![
        ("empty", Vec::new(), &["not a component"]),
        ("text", b"#!/bin/sh\necho hello\n".to_vec(), &["not a component"]),
        ("zeros", vec![0; 1 << 20], &["not a component"]),
        ("truncated", truncated, &["not a component"]),
        ("core-module", wat("(module)"), &["not a component"]),
        (
            "wasi",
            wat(r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#),
            &["imports wasi:cli/environment@0.2.0", "a policy may only import dunnage:bundle/filesystem@0.1.0"],
        ),
        ("function", wat(r#"(component (import "exec" (func)))"#), &["imports exec"]),
        (
            "other-version",
            wat(r#"(component (import "dunnage:bundle/filesystem@0.2.0" (instance)))"#),
            &["imports dunnage:bundle/filesystem@0.2.0"],
        ),
        (
            "nothing",
            wat("(component)"),
            &["wrong world", "does not export dunnage:bundle/bundles@0.1.0, dunnage:bundle/shims@0.1.0"],
        ),
        (
            "half",
            wat(r#"(component (instance $i) (export "dunnage:bundle/bundles@0.1.0" (instance $i)))"#),
            &["wrong world", "does not export dunnage:bundle/shims@0.1.0"],
        ),
        (
            "hollow",
            wat(r#"(component (instance $i)
                (export "dunnage:bundle/bundles@0.1.0" (instance $i))
                (export "dunnage:bundle/shims@0.1.0" (instance $i)))"#),
            &["does not fit the world"],
        ),
        (
            "greedy-import",
            wat(r#"(component
                (import "dunnage:bundle/filesystem@0.1.0" (instance (export "remove-everything" (func))))
                (instance $i)
                (export "dunnage:bundle/bundles@0.1.0" (instance $i))
                (export "dunnage:bundle/shims@0.1.0" (instance $i)))"#),
            &["does not fit the world", "remove-everything"],
        ),
        ("huge-table", with_module("(module (table 1000000 funcref))"), &["table"]),
        ("second-memory", with_module("(module (memory 1))"), &["memor"]),
        ("wide-memory", with_module("(module (memory i64 1))"), &["64-bit"]),
    ]
}

#[test]
fn the_library_refuses_what_is_no_policy_and_says_why() {
    let scratch = Scratch::new();
    for (name, bytes, says) in bad_policies() {
        let source = policy_file(&scratch, &bytes);
        let error = scratch.builder().policy(source).build().expect_err(name);
        assert_eq!(error.kind(), ErrorKind::PolicyRejected, "{name}: {error}");
        for text in says {
            assert!(error.to_string().contains(text), "{name}: {error}");
        }
    }
}

#[test]
fn the_binary_refuses_what_is_no_policy_and_says_why() {
    let scratch = Scratch::new();
    let spec = specs::data("plain.json");
    for (name, bytes, says) in bad_policies() {
        let (path, digest) = parts(policy_file(&scratch, &bytes));
        let before = scratch.tree();
        let mut create = scratch.command_of(Build::PolicyFile, ["create", "web-1", "-o", "json", "--spec"]);
        create.arg(&spec).arg("--policy").arg(&path).args(["--policy-digest", &digest]);
        let mut verify = scratch.command_of(Build::PolicyFile, ["policy", "verify", "-o", "json"]);
        verify.arg(&path).args(["--policy-digest", &digest]);
        for mut command in [create, verify] {
            let outcome = run(&mut command, []);
            assert_eq!(outcome.code, Some(7), "{name}: {outcome:?}");
            let error: serde_json::Value = serde_json::from_str(&outcome.stderr).expect("one line of JSON");
            assert_eq!(error["error"]["kind"], "policy-rejected", "{name}");
            for text in says {
                assert!(error["error"]["message"].as_str().unwrap().contains(text), "{name}: {error}");
            }
        }
        assert_eq!(scratch.tree(), before, "{name}");
    }
}

fn parts(source: PolicySource) -> (PathBuf, String) {
    let PolicySource::File { path, digest } = source else { panic!("not a file") };
    (path, digest)
}

#[test]
fn digests_are_compared_and_checked() {
    let scratch = Scratch::new();
    let right = hostile::digest();
    let hex = right.strip_prefix("sha256:").unwrap();
    let wrong = format!("sha256:{}", "0".repeat(64));
    let load = |digest: &str| {
        let source = PolicySource::File { path: hostile::POLICY.into(), digest: digest.to_owned() };
        scratch.builder().policy(source).build()
    };
    load(&right).unwrap();
    load(&format!("sha256:{}", hex.to_uppercase())).unwrap();
    let error = load(&wrong).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PolicyRejected);
    assert!(error.to_string().contains("wrong digest") && error.to_string().contains(hex), "{error}");
    let almost = format!("sha256:{}{}", &hex[..63], if hex.ends_with('0') { '1' } else { '0' });
    assert!(load(&almost).unwrap_err().to_string().contains("wrong digest"));
    for malformed in
        ["", hex, "sha256:", &right[..70], &format!("{right}0"), &format!("md5:{hex}"), &format!(" {right}")]
    {
        let error = load(malformed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PolicyRejected, "{malformed:?}");
        assert!(error.to_string().contains("64 hex digits"), "{malformed:?}: {error}");
    }

    for (digest, says) in [(wrong.as_str(), "wrong digest"), ("sha256:12", "64 hex digits")] {
        let mut command = scratch.command_of(Build::PolicyFile, ["list", "--policy", hostile::POLICY]);
        let outcome = run(command.args(["--policy-digest", digest]), []).expect(7);
        assert!(outcome.stderr.contains(says), "{outcome:?}");
    }
    // A policy without a digest is a mistake of the caller's.
    run(&mut scratch.command_of(Build::PolicyFile, ["list", "--policy", hostile::POLICY]), []).expect(2);
}

#[test]
fn a_policy_file_that_cannot_be_read_is_named() {
    let scratch = Scratch::new();
    for path in [scratch.path().join("missing.wasm"), scratch.path().to_owned()] {
        let source = PolicySource::File { path: path.clone(), digest: hostile::digest() };
        let error = scratch.builder().policy(source).build().unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::PolicyRejected, Some(path.as_path())), "{error}");
    }
}

/// What hides in the file is named, and a right file is shown to be right.
#[test]
fn policies_in_files_can_be_looked_at() {
    let scratch = Scratch::new();
    let shown =
        run(scratch.command_of(Build::PolicyFile, ["policy", "inspect", "-o", "json"]).arg(hostile::POLICY), [])
            .expect(0)
            .json();
    assert_eq!(shown["digest"], hostile::digest());
    assert_eq!(shown["exports"], serde_json::json!(["dunnage:bundle/bundles@0.1.0", "dunnage:bundle/shims@0.1.0"]));
    let mut verify = scratch.command_of(Build::PolicyFile, ["policy", "verify", hostile::POLICY, "--policy-digest"]);
    run(verify.arg(hostile::digest()), []).expect(0);
}

#[test]
fn the_default_build_names_the_cargo_feature() {
    let scratch = Scratch::new();
    let spec = specs::data("plain.json");
    let mut create = scratch.command(["create", "web-1", "--spec"]);
    create.arg(&spec).args(hostile::options());
    let mut inspect = scratch.command(["policy", "inspect"]);
    inspect.arg(hostile::POLICY);
    for mut command in [create, inspect] {
        let outcome = run(&mut command, []).expect(7);
        assert!(outcome.stderr.contains("cargo feature `policy-file`"), "{outcome:?}");
        assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
    }
}

/// How often a text stands in a file.
fn occurrences(file: &Path, text: &str) -> usize {
    let bytes = std::fs::read(file).expect("the binary");
    bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
}

/// The compiler's own source paths stand in its panic messages, so the second half shows that this
/// would find it.
#[test]
fn the_default_build_holds_no_compiler() {
    for trace in ["cranelift_codegen", "cranelift-codegen", "cranelift_frontend", "cranelift-frontend"] {
        assert_eq!(occurrences(binary::path(Build::Default), trace), 0, "{trace}");
    }
    assert_ne!(occurrences(binary::path(Build::PolicyFile), "cranelift_codegen"), 0);
}

/// What the code was compiled for is a baseline, not the machine that built it.
#[test]
fn the_shipped_policy_is_compiled_for_a_named_baseline() {
    let scratch = Scratch::new();
    let baseline = match std::env::consts::ARCH {
        "x86_64" => "x86-64-v2 (",
        "aarch64" => "armv8-a (",
        other => panic!("no baseline is documented for {other}"),
    };
    for build in [Build::Default, Build::PolicyFile] {
        let shown = run(&mut scratch.command_of(build, ["policy", "inspect", "-o", "json"]), []).expect(0).json();
        assert!(shown["compiled_for"].as_str().unwrap().starts_with(baseline), "{shown}");
        assert_eq!(shown["source"], "built in");
        assert_eq!(shown["imports"], serde_json::json!(["dunnage:bundle/filesystem@0.1.0"]));
        let exports = ["dunnage:bundle/bundles@0.1.0", "dunnage:bundle/shims@0.1.0", "dunnage:bundle/tasks@0.1.0"];
        assert_eq!(shown["exports"], serde_json::json!(exports));
    }
    let dunnage = scratch.dunnage();
    assert!(dunnage.policy().compiled_for.starts_with(baseline));
    dunnage.create(&id("web-1"), &specs::plain()).unwrap();
}
