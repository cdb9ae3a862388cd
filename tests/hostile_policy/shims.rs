//! What a shim is started with is executed by root: the policy gets no word of its own in.

use dunnage::{Bundle, Dunnage, Error, ErrorKind, RuncOptions, ShimOptions};
use dunnage_tests::hostile;
use dunnage_tests::scratch::id;
use dunnage_tests::{Scratch, specs};

const ARGUMENTS: &[(&str, ErrorKind, &str)] = &[
    ("start-binary", ErrorKind::PolicyBroken, "flag -containerd-binary"),
    ("start-address", ErrorKind::PolicyBroken, "flag -address"),
    ("start-work-dir", ErrorKind::PolicyBroken, "flag -workdir"),
    ("start-namespace", ErrorKind::PolicyBroken, "flag -namespace"),
    ("start-nul", ErrorKind::PolicyBroken, "flag -containerd-binary"),
    ("start-joined", ErrorKind::PolicyBroken, "\"-containerd-binary=/bin/sh\""),
    ("start-extra", ErrorKind::PolicyBroken, "\"-socket\""),
    ("start-unasked", ErrorKind::PolicyBroken, "\"-debug\""),
    ("start-criu", ErrorKind::PolicyBroken, "\"-criu\""),
    ("start-twice", ErrorKind::PolicyBroken, "stands twice"),
    ("start-twice-the-same", ErrorKind::PolicyBroken, "stands twice"),
    ("start-escape-sequences", ErrorKind::PolicyBroken, "\"\\u{1b}[2J\""),
    ("start-cut", ErrorKind::PolicyBroken, "flag -namespace"),
    ("start-nothing", ErrorKind::PolicyBroken, "left out"),
    ("start-long", ErrorKind::PolicyBroken, "xxx\""),
    ("start-many", ErrorKind::PolicyBroken, "\"-debug\""),
    ("start-endless", ErrorKind::PolicyTrapped, "too much data"),
];

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
fn only_what_was_asked_for_is_an_argument() {
    let scratch = Scratch::new();
    let dunnage = hostile::dunnage(&scratch);
    let arguments = |name: &str| {
        let bundle = bundle(&dunnage, name);
        let config = dunnage.shim_config(&bundle, &ShimOptions::default()).unwrap();
        dunnage.shim_start_arguments(&bundle, &config, "/usr/bin/dunnage".as_ref(), false)
    };
    for (name, kind, says) in ARGUMENTS {
        check(name, &arguments(name).expect_err(name), *kind, says);
        // The next call works, and its policy may choose the order.
        assert_eq!(arguments("web-1").unwrap()[4..6], ["-workdir", "/w"]);
    }
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
        ("config-path", "another path"),
        ("config-work-dir", "another work directory"),
        ("config-namespace", "another namespace"),
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
