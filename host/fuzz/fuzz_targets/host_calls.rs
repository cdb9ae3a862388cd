//! A policy that makes any sequence of host calls: the input is the script of `tests/policies`.
//! Whatever it does stays in its own bundle, and the next call works.

#![no_main]

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::LazyLock;

use dunnage::{BundleId, Created, Dunnage, Error, ErrorKind, Limits, Spec};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static CODE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/script.cwasm"));
const SPEC: &[u8] = br#"{"linux":{"gidMappings":[]}}"#;

/// A node with another bundle on it, and two managers of its directories.
struct Node {
    scratch: TempDir,
    scripted: Dunnage,
    shipped: Dunnage,
    before: String,
}

static NODE: LazyLock<Node> = LazyLock::new(|| {
    let scratch = TempDir::with_prefix("dunnage-fuzz-").unwrap();
    let mut limits = Limits::default();
    limits.concurrent_calls = 1;
    // Low enough for a script to pass them.
    (limits.handles, limits.steps, limits.host_call_bytes) = (6, 40, 2048);
    let builder = Dunnage::builder()
        .state(scratch.path().join("state"))
        .root(scratch.path().join("root"))
        .socket_root(scratch.path().join("sockets"))
        .limits(limits);
    let shipped = builder.clone().build().unwrap();
    // SAFETY: `build.rs` has made it with this wasmtime and these settings.
    #[expect(unsafe_code, reason = "wasmtime trusts compiled code blindly")]
    let scripted = unsafe { dunnage::fuzzing::with_policy_code(builder, CODE) }.unwrap();
    shipped.create(&BundleId::new("default", "neighbour"), &Spec::new(SPEC)).unwrap();
    let before = tree(scratch.path());
    Node { scratch, scripted, shipped, before }
});

/// Everything below a directory: place, inode, mode, owner and content.
fn tree(top: &Path) -> String {
    let mut lines = String::new();
    let mut entries: Vec<_> = std::fs::read_dir(top).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let found = path.symlink_metadata().unwrap();
        let (inode, mode, owner) = (found.ino(), found.mode(), (found.uid(), found.gid()));
        writeln!(lines, "{} {inode} {mode:o} {owner:?} {}", path.display(), found.mtime() * i64::from(found.is_file()))
            .unwrap();
        if found.is_dir() {
            lines.push_str(&tree(&path));
        } else {
            writeln!(lines, "{}", std::fs::read(&path).unwrap().escape_ascii()).unwrap();
        }
    }
    lines
}

/// What was published is a bundle, whatever the policy intended.
fn check_bundle(created: &Created, spec: &[u8]) {
    let bundle = created.bundle.path();
    let mut names: Vec<_> = std::fs::read_dir(bundle).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["config.json", "rootfs"]);
    assert_eq!(std::fs::read(bundle.join("config.json")).unwrap(), spec);
    assert_eq!(std::fs::read_dir(bundle.join("rootfs")).unwrap().count(), 0);
    let mode = |path: &Path| path.symlink_metadata().unwrap().mode() & 0o7777;
    let remapped = created.remapped_gid != 0;
    assert_eq!(mode(bundle) & !0o711, 0);
    assert_eq!(mode(&bundle.join("rootfs")) & !0o711, 0);
    assert_eq!(mode(&bundle.join("config.json")) & !if remapped { 0o640 } else { 0o600 }, 0);
    if remapped {
        assert_eq!(bundle.metadata().unwrap().gid(), created.remapped_gid);
    }
}

/// An error is the policy's, and fit for a terminal.
fn check_error(error: &Error) {
    let kinds = [
        ErrorKind::Filesystem,
        ErrorKind::GroupNotAllowed,
        ErrorKind::PolicyBroken,
        ErrorKind::PolicyLimit,
        ErrorKind::PolicyTrapped,
        ErrorKind::Unsupported,
    ];
    let message = error.to_string();
    assert!(kinds.contains(&error.kind()), "{:?}: {message}", error.kind());
    assert!(message.len() < 8192 && !message.chars().any(char::is_control), "{message:?}");
    assert!(!message.contains("left behind"), "{message}");
}

fuzz_target!(|script: &[u8]| {
    let node = &*NODE;
    let id = BundleId::new("default", "script");
    match node.scripted.create(&id, &Spec::new(script)) {
        Ok(created) => {
            check_bundle(&created, script);
            let published = tree(created.bundle.path());
            // The script again, with a directory that is lent for reading.
            let deleted = node.scripted.delete(&id, false);
            if let Err(error) = deleted {
                check_error(&error);
                assert_eq!(tree(created.bundle.path()), published);
                assert!(node.shipped.delete(&id, false).unwrap().deleted);
            }
        }
        Err(error) => check_error(&error),
    }
    assert_eq!(tree(node.scratch.path()), node.before);

    node.shipped.create(&id, &Spec::new(SPEC)).unwrap();
    assert!(node.shipped.delete(&id, false).unwrap().deleted);
    assert_eq!(tree(node.scratch.path()), node.before);
});
