//! A policy that breaks a rule is stopped, leaves nothing behind, and does not affect the next
//! call.

use std::time::Duration;

use dunnage::{Dunnage, Error, ErrorKind, Limits};
use dunnage_tests::binary::Build;
use dunnage_tests::hostile;
use dunnage_tests::scratch::id;
use dunnage_tests::watchdog::within;
use dunnage_tests::{Scratch, privileges, run, specs};

/// What the policy does, how the host takes it, and what its message must say.
type Case = (&'static str, ErrorKind, &'static [&'static str]);

const CASES: &[Case] = &[
    ("max-group", ErrorKind::PolicyBroken, &["group 4294967295"]),
    ("answers-max-group", ErrorKind::PolicyBroken, &["returned group 4294967295"]),
    ("claims-other-group", ErrorKind::PolicyBroken, &["cannot be published", "the bundle belongs to", ":4242"]),
    ("no-rootfs", ErrorKind::PolicyBroken, &["did not create rootfs"]),
    ("no-config", ErrorKind::PolicyBroken, &["did not create config.json"]),
    ("config-wide", ErrorKind::PolicyBroken, &["mode 0644", "0640"]),
    ("config-group-readable", ErrorKind::PolicyBroken, &["config.json has mode 0640", "0600"]),
    ("config-in-rootfs", ErrorKind::PolicyBroken, &["it created more than rootfs and config.json"]),
    ("config-is-directory", ErrorKind::PolicyBroken, &["config.json", "wrong file type"]),
    ("extra", ErrorKind::PolicyBroken, &["it created more than rootfs and config.json"]),
    ("extra-hidden", ErrorKind::PolicyBroken, &["it created more than rootfs and config.json"]),
    ("name-dot-dot", ErrorKind::PolicyBroken, &["it named \"..\"", "`.` or `..`"]),
    ("name-dot", ErrorKind::PolicyBroken, &["it named \".\""]),
    ("name-slash", ErrorKind::PolicyBroken, &["rootfs/../../escape", "`/` or NUL"]),
    ("name-nul", ErrorKind::PolicyBroken, &["it named \"a\\0b\"", "`/` or NUL"]),
    ("name-empty", ErrorKind::PolicyBroken, &["the name is empty"]),
    ("name-absolute", ErrorKind::PolicyBroken, &["/tmp/escape"]),
    ("name-escape-sequences", ErrorKind::PolicyBroken, &["it named \"/\\u{1b}[2J\""]),
    ("nothing", ErrorKind::PolicyBroken, &["reported success but created nothing"]),
    ("fails-late", ErrorKind::Filesystem, &["write-spec", "no space left"]),
    ("trap", ErrorKind::PolicyTrapped, &["trapped", "unreachable"]),
    ("trap-late", ErrorKind::PolicyTrapped, &["trapped", "unreachable"]),
    ("forged-handle", ErrorKind::PolicyTrapped, &["could not be run: unknown handle index 99"]),
    ("handle-of-another-kind", ErrorKind::PolicyTrapped, &["could not be run: handle index 2"]),
    ("recurse", ErrorKind::PolicyTrapped, &["trapped"]),
    ("spin", ErrorKind::PolicyLimit, &["limit", "too long"]),
    ("spin-late", ErrorKind::PolicyLimit, &["limit", "too long"]),
    ("memory", ErrorKind::PolicyLimit, &["bytes of memory", "134217728"]),
    ("steps", ErrorKind::PolicyLimit, &["too many host functions"]),
    ("handles", ErrorKind::PolicyLimit, &["too many handles"]),
];

/// These give the bundle to another group first.
const PRIVILEGED_CASES: &[Case] = &[
    ("wrong-name", ErrorKind::PolicyBroken, &["did not create config.json"]),
    ("wide-mode", ErrorKind::PolicyBroken, &["mode 0777", "0711"]),
    ("setuid-mode", ErrorKind::PolicyBroken, &["mode 4710", "0711"]),
    ("hides-group", ErrorKind::PolicyBroken, &["the bundle belongs to", ":4242"]),
];

/// Runs the cases where nothing is yet, and where other bundles are.
fn refuse(cases: &[Case]) {
    let scratch = Scratch::new();
    let dunnage = hostile::dunnage(&scratch);
    within(Duration::from_secs(300), "the hostile policy", || {
        for case in cases {
            refuse_one(&scratch, &dunnage, case);
        }
        dunnage.create(&id("neighbour"), &specs::plain()).unwrap();
        for case in cases {
            refuse_one(&scratch, &dunnage, case);
        }
    });
}

fn refuse_one(scratch: &Scratch, dunnage: &Dunnage, (name, kind, says): &Case) {
    let before = scratch.tree();
    let error = dunnage.create(&id(name), &specs::plain()).expect_err(name);
    check(&error, *kind, says);
    println!("{name} → {} at {}: {error}", kind.as_str(), error.step());
    assert_eq!(scratch.tree(), before, "{name} left something behind");
    // The next call works.
    dunnage.create(&id("web-1"), &specs::plain()).unwrap_or_else(|error| panic!("after {name}: {error}"));
    assert!(dunnage.delete(&id("web-1"), false).unwrap().deleted, "after {name}");
}

fn check(error: &Error, kind: ErrorKind, says: &[&str]) {
    let message = error.to_string();
    assert_eq!(error.kind(), kind, "{message}");
    assert!(!message.chars().any(char::is_control), "{message:?} is no line");
    for text in says {
        assert!(message.contains(text), "{message:?} does not say {text:?}");
    }
}

#[test]
fn a_hostile_policy_is_refused_and_leaves_nothing_behind() {
    refuse(CASES);
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_hostile_policy_that_may_change_groups_is_refused_too() {
    if privileges::root("privileged_a_hostile_policy_that_may_change_groups_is_refused_too") {
        refuse(PRIVILEGED_CASES);
    }
}

/// Exit 7 for all that is the policy's failure, and nothing is left behind either.
#[test]
fn the_binary_exits_with_7() {
    let scratch = Scratch::new();
    for name in ["no-rootfs", "name-slash", "nothing", "trap-late", "spin-late", "memory"] {
        let mut command = scratch.command_of(Build::PolicyFile, ["create", name, "-o", "json", "--spec"]);
        let outcome = run(command.arg(specs::data("plain.json")).args(hostile::options()), []).expect(7);
        let error: serde_json::Value = serde_json::from_str(&outcome.stderr).expect("one line of JSON");
        assert!(error["error"]["kind"].as_str().unwrap().starts_with("policy-"), "{error}");
        assert!(scratch.tree().is_empty(), "{name}: {:?}", scratch.tree());
    }
}

#[test]
fn groups_outside_the_ranges_are_refused() {
    let scratch = Scratch::new();
    let ranges =
        |text: &str| scratch.builder().policy(hostile::policy()).groups(text.parse().unwrap()).build().unwrap();
    let narrow = ranges("1-100,5000-6000");
    for error in [
        narrow.create(&id("other-group"), &specs::plain()).unwrap_err(),
        // Saying one thing and doing another does not get around it.
        narrow.create(&id("hides-group"), &specs::plain()).unwrap_err(),
        narrow.create(&id("claims-other-group"), &specs::plain()).unwrap_err(),
        narrow.remapped_gid(&specs::plain()).unwrap_err(),
    ] {
        check(&error, ErrorKind::GroupNotAllowed, &["group 4242", "1-100,5000-6000"]);
    }
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
    assert_eq!(ranges("4242").remapped_gid(&specs::plain()).unwrap(), 4242);
    let mut command = scratch.command_of(Build::PolicyFile, ["gid", "--gid-range", "1-100", "--spec"]);
    let outcome = run(command.arg(specs::data("plain.json")).args(hostile::options()), []).expect(3);
    assert!(outcome.stderr.contains("4242"), "{outcome:?}");
}

#[test]
fn the_group_that_is_none_is_refused_in_every_answer() {
    let scratch = Scratch::new();
    let error = hostile::dunnage(&scratch).remapped_gid(&specs::text("{     }")).unwrap_err();
    check(&error, ErrorKind::PolicyBroken, &["4294967295"]);
}

/// A policy talks to people only through the host.
#[test]
fn escape_sequences_do_not_reach_the_user() {
    let scratch = Scratch::new();
    let spec = specs::data("plain.json");
    for (arguments, code) in [
        (&["create", "escape-sequences"][..], 3),
        (&["create", "name-escape-sequences"], 7),
        (&["create", "escape-sequences", "-o", "json"], 3),
    ] {
        let mut command = scratch.command_of(Build::PolicyFile, arguments);
        let outcome = run(command.arg("--spec").arg(&spec).args(hostile::options()), []);
        assert_printable(&outcome.stderr);
        outcome.expect(code);
    }
}

/// The same for what a policy answers when all is well.
#[test]
fn control_characters_in_an_address_do_not_reach_the_user() {
    let scratch = Scratch::new();
    for name in ["address-escape-sequences", "address-two-lines"] {
        let mut command = scratch.command_of(Build::PolicyFile, ["shim", "address", name]);
        let outcome = run(command.args(hostile::options()), []);
        assert_printable(&outcome.stdout);
        assert_printable(&outcome.stderr);
        assert!(outcome.stdout.lines().count() <= 1, "{outcome:?}");
    }
}

#[track_caller]
fn assert_printable(text: &str) {
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
}

#[test]
fn endless_messages_are_cut() {
    let scratch = Scratch::new();
    let dunnage = hostile::dunnage(&scratch);
    for name in ["endless-message", "name-endless"] {
        let error = dunnage.create(&id(name), &specs::plain()).unwrap_err();
        let length = error.to_string().len();
        assert!(length < 16 << 10, "{name}: a message of {length} bytes");
        assert!(scratch.tree().is_empty(), "{name}: {:?}", scratch.tree());
    }
    dunnage.create(&id("delete-endless-address"), &specs::plain()).unwrap();
    let deletion = dunnage.delete(&id("delete-endless-address"), false).unwrap();
    assert!(deletion.deleted && !deletion.warnings.is_empty());
    let length: usize = deletion.warnings.iter().map(String::len).sum();
    assert!(length < 16 << 10, "warnings of {length} bytes");
}

#[test]
fn a_policy_that_traps_while_deleting_keeps_the_bundle() {
    let scratch = Scratch::new();
    let dunnage = hostile::dunnage(&scratch);
    let trap = id("delete-trap");
    dunnage.create(&trap, &specs::plain()).unwrap();
    let before = scratch.tree();
    check(&dunnage.delete(&trap, true).unwrap_err(), ErrorKind::PolicyTrapped, &["unreachable"]);
    assert_eq!(scratch.tree(), before);
    // Another policy deletes it: nothing holds a lock.
    assert!(scratch.dunnage().delete(&trap, false).unwrap().deleted);
}

/// The policy checks itself that each writing call on a bundle that is lent for reading fails, and
/// traps otherwise.
#[test]
fn a_bundle_lent_for_reading_cannot_be_changed() {
    let scratch = Scratch::new();
    let dunnage = hostile::dunnage(&scratch);
    dunnage.create(&id("delete-writes"), &specs::plain()).unwrap();
    assert!(dunnage.delete(&id("delete-writes"), false).unwrap().deleted);
}

/// The policy names `/etc/passwd` as the shim's socket, and as the address that it must have.
#[test]
fn d12_only_a_socket_in_the_socket_directory_is_removed() {
    let scratch = Scratch::new();
    let dunnage = hostile::dunnage(&scratch);
    let before = std::fs::read("/etc/passwd").unwrap();
    dunnage.create(&id("delete-foreign-socket"), &specs::plain()).unwrap();
    let deletion = dunnage.delete(&id("delete-foreign-socket"), false).unwrap();
    assert!(deletion.deleted);
    assert!(deletion.warnings.iter().any(|warning| warning.contains("/etc/passwd")), "{deletion:?}");
    assert_eq!(std::fs::read("/etc/passwd").unwrap(), before);
}

/// A call that is stopped gives its place back: with one place, the next call would wait for ever.
#[test]
fn calls_that_are_stopped_give_their_places_back() {
    let scratch = Scratch::new();
    let mut limits = Limits::default();
    limits.concurrent_calls = 1;
    limits.time = Duration::from_millis(20);
    let dunnage = scratch.builder().policy(hostile::policy()).limits(limits).build().unwrap();
    within(Duration::from_secs(300), "a call after a stopped one", || {
        for name in ["spin", "trap", "memory", "spin-late"] {
            dunnage.create(&id(name), &specs::plain()).unwrap_err();
            dunnage.remapped_gid(&specs::plain()).unwrap();
        }
    });
}
