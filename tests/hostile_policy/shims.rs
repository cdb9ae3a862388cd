//! A shim runs as root, as its settings say: the policy gets no word of its own in.

use dunnage::{Bundle, Dunnage, Error, ErrorKind, RuncOptions, ShimOptions};
use dunnage_tests::hostile;
use dunnage_tests::scratch::id;
use dunnage_tests::{Scratch, specs};

fn bundle(dunnage: &Dunnage, name: &str) -> Bundle {
    dunnage.load_unchecked(&id(name), "/b", "/w")
}

fn check(name: &str, error: &Error, kind: ErrorKind, says: &str) {
    let message = error.to_string();
    assert_eq!(error.kind(), kind, "{name}: {message}");
    assert!(message.contains(says), "{name}: {message}");
    assert!(kind != ErrorKind::PolicyBroken || message.contains("the policy broke a rule: "), "{name}: {message}");
    println!("{name} → {} at {}: {message}", kind.as_str(), error.step());
    assert!(message.len() < 500 && !message.chars().any(char::is_control), "{name}: {message}");
}

#[test]
fn settings_are_what_was_told() {
    let scratch = Scratch::new();
    let dunnage = hostile::dunnage(&scratch);
    let options = ShimOptions {
        runtime_root: "/run/runc".to_owned(),
        runc: Some(RuncOptions { runtime_root: "/run/other".to_owned(), systemd_cgroup: false }),
    };
    for (name, says) in [
        ("config-path", "a different path"),
        ("config-work-dir", "a different work directory"),
        ("config-namespace", "a different namespace"),
        ("config-runtime-root", "neither the node's nor the container's"),
        ("config-no-runtime-root", "neither the node's nor the container's"),
    ] {
        let error = dunnage.shim_config(&bundle(&dunnage, name), &options).expect_err(name);
        check(name, &error, ErrorKind::PolicyBroken, says);
    }
    let config = dunnage.shim_config(&bundle(&dunnage, "web-1"), &options).unwrap();
    assert_eq!(config.runtime_root, "/run/runc");
}

#[test]
fn the_reserved_user_and_group_own_no_streams() {
    let scratch = Scratch::new();
    let dunnage = hostile::dunnage(&scratch);
    for spec in ["{     }", "{      }"] {
        let error = dunnage.task_settings(&specs::text(spec)).unwrap_err();
        check(spec, &error, ErrorKind::PolicyBroken, "4294967295");
    }
}
