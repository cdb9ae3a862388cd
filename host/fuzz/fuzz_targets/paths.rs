//! Cleaning and joining of paths against Go's algorithm, and the addresses that are made with them.

#![no_main]

mod reference;

use std::fmt::Write as _;

use dunnage_policy::address::path::{clean, join};
use dunnage_policy::address::{self, Node};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};

/// Go's `path.Join`, written again.
fn reference_join(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { String::new() } else { reference::clean(&parts.join("/")) }
}

fn check_clean(path: &str) {
    let found = clean(path);
    assert_eq!(found, reference::clean(path), "{path:?}");
    assert_eq!(clean(&found), found, "{path:?} is not clean after the first time");
    assert_eq!(found.starts_with('/'), path.starts_with('/'));
    assert!(found.len() <= path.len().max(1));
}

fn check_address(daemon: &str, socket_root: &str) {
    let address =
        |daemon: &str, socket_root: &str| address::shim("moby", "redis7", Node { daemon, socket_root }).unwrap();
    let found = address(daemon, socket_root);
    let mut name = String::new();
    for byte in Sha256::digest(reference_join(&[daemon, "moby", "redis7"])) {
        write!(name, "{byte:02x}").unwrap();
    }
    assert_eq!(found, format!("unix://{}", reference_join(&[socket_root, &name])));
    // Another spelling of a path leads to the same shim.
    assert_eq!(found, address(&clean(daemon), &clean(socket_root)));
    assert_eq!(found, address(&format!("{daemon}/./x//../"), socket_root).as_str(), "{daemon:?}");
}

fuzz_target!(|input: &str| {
    check_clean(input);
    let parts: Vec<&str> = input.split('\n').collect();
    for part in &parts {
        check_clean(part);
    }
    assert_eq!(join(&parts), reference_join(&parts), "{parts:?}");
    let (daemon, socket_root) = input.split_once('\n').unwrap_or((input, "/run/containerd/s"));
    if !daemon.is_empty() {
        check_address(daemon, socket_root);
    }
});
