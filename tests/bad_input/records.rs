//! Files `address` and `shim.pid` that are not what they should be: a user who can write to a
//! bundle could have put them there.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use dunnage_tests::Scratch;

use super::{check_form, good, refuse};

type Plant = fn(&Path);

/// Ways to spoil a record, and what is said about each.
const PLANTS: [(&str, Plant, &str); 12] = [
    ("link to a file", |path| symlink("/etc/passwd", path).expect("a link"), "symbolic link"),
    ("dangling link", |path| symlink("nowhere", path).expect("a link"), "symbolic link"),
    ("link to itself", |path| symlink(path.file_name().expect("a name"), path).expect("a link"), "symbolic link"),
    (
        "fifo",
        |path| assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success()),
        "not a regular file",
    ),
    ("directory", |path| fs::create_dir(path).expect("a directory"), "is a directory"),
    ("full directory", |path| fs::create_dir_all(path.join("a/b")).expect("a directory"), "is a directory"),
    ("socket", |path| drop(UnixListener::bind(path).expect("a socket")), "not a regular file"),
    ("1 GiB", |path| File::create(path).expect("a file").set_len(1 << 30).expect("a length"), "too large"),
    ("4097 bytes", |path| fs::write(path, "x".repeat(4097)).expect("a file"), "too large"),
    ("empty", |path| fs::write(path, "").expect("a file"), ""),
    ("not UTF-8", |path| fs::write(path, b"\xff\xfe").expect("a file"), "not UTF-8"),
    ("control characters", |path| fs::write(path, "\u{1b}]0;title\u{7}\n").expect("a file"), ""),
];

fn bundle() -> Scratch {
    let scratch = Scratch::new();
    scratch.run(["create", "web", "--spec", &good()]).expect(0);
    scratch
}

#[test]
fn an_address_that_cannot_be_used_is_told_and_keeps_nothing_from_deletion() {
    let passwd = fs::read("/etc/passwd").unwrap();
    for (what, plant, words) in PLANTS {
        let scratch = bundle();
        plant(&scratch.bundle("web").join("address"));
        for allow in [&[][..], &["--allow-legacy"]] {
            let mut connect = scratch.command([&["shim", "connect-address", "web"], allow].concat());
            refuse(&scratch, &mut connect, &[], 1, &["the file `address` in the bundle cannot be used", words]);
        }
        let before = scratch.tree();
        let found = scratch.run(["inspect", "web", "-o", "json"]).expect(0).json();
        assert!(found["address"].is_null(), "{what}: {found}");
        assert!(found["address_error"].as_str().unwrap().contains(words), "{what}: {found}");
        let table = scratch.run(["inspect", "web"]).expect(0).stdout;
        assert!(table.contains("address    unusable: ") && !table.contains('\u{1b}'), "{what}: {table}");
        assert_eq!(scratch.tree(), before, "{what}");

        let deleted = scratch.run(["delete", "web"]).expect(0);
        assert_eq!(deleted.stdout, "web\n", "{what}: {deleted:?}");
        assert!(deleted.stderr.contains("address cannot be used"), "{what}: {deleted:?}");
        assert!(!scratch.bundle("web").exists() && !scratch.work_dir("web").exists(), "{what}");
    }
    assert_eq!(fs::read("/etc/passwd").unwrap(), passwd);
}

#[test]
fn a_shim_pid_that_cannot_be_used_is_told_and_keeps_nothing_from_deletion() {
    for (what, plant, words) in PLANTS {
        let scratch = bundle();
        plant(&scratch.bundle("web").join("shim.pid"));
        let found = scratch.run(["inspect", "web", "-o", "json"]).expect(0).json();
        assert!(found["shim_pid"].is_null() && found["shim_alive"].is_null(), "{what}: {found}");
        assert!(found["shim_pid_error"].as_str().unwrap().contains(words), "{what}: {found}");
        let deleted = scratch.run(["delete", "web", "--force"]).expect(0);
        assert_eq!(deleted.stdout, "web\n", "{what}: {deleted:?}");
        assert!(deleted.stderr.contains("shim.pid cannot be used"), "{what}: {deleted:?}");
    }
}

/// Addresses that lead away from the bundle's own socket.
#[test]
fn an_address_that_names_something_else_is_never_used() {
    let passwd = fs::read("/etc/passwd").unwrap();
    let long = format!("unix:///{}", "x".repeat(100));
    let addresses = [
        ("unix:///etc/passwd", "not in the socket directory"),
        ("/etc/passwd", "neither a unix:// path nor an abstract name"),
        ("unix://etc/passwd", "not absolute"),
        ("unix:///run/containerd/s/../../../etc/passwd", "not clean"),
        ("tcp://127.0.0.1:80", "neither a unix:// path nor an abstract name"),
        ("http://x/\u{202e}", "neither a unix:// path nor an abstract name"),
        (&long, "longer than 106 bytes"),
        ("unix:///run/containerd/s/x\n", "control characters"),
        ("unix:///a\u{0}b", "control characters"),
    ];
    for (address, words) in addresses {
        let scratch = bundle();
        fs::write(scratch.bundle("web").join("address"), address).unwrap();
        for allow in [&[][..], &["--allow-legacy"]] {
            let mut connect = scratch.command([&["shim", "connect-address", "web"], allow].concat());
            refuse(&scratch, &mut connect, &[], 1, &["the file `address`", words]);
        }
        let deleted = scratch.run(["delete", "web"]).expect(0);
        assert_eq!(deleted.stdout, "web\n");
        assert!(deleted.stderr.contains("was not removed") || deleted.stderr.contains("address cannot"), "{deleted:?}");
    }
    assert_eq!(fs::read("/etc/passwd").unwrap(), passwd);
}

/// An abstract name on file is well formed, but any process could listen there.
#[test]
fn an_abstract_address_is_refused_unless_it_is_allowed() {
    let scratch = bundle();
    fs::write(scratch.bundle("web").join("address"), "/containerd-shim/default/web/shim.sock").unwrap();
    let mut connect = scratch.command(["shim", "connect-address", "web"]);
    refuse(&scratch, &mut connect, &[], 5, &["abstract name", "not allowed"]);
    scratch.run(["shim", "connect-address", "web", "--allow-legacy"]).expect(0);
}

/// A 1 GiB file is not read, a FIFO is not waited for: the watchdog of the runs would notice.
#[test]
fn a_fifo_with_a_silent_writer_is_not_waited_for() {
    let scratch = bundle();
    let fifo = scratch.bundle("web").join("address");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _both_ends = File::options().read(true).write(true).open(&fifo).unwrap();
    let outcome = scratch.run(["shim", "connect-address", "web"]);
    check_form(&outcome, 1, &["not a regular file"]);
    assert_eq!(scratch.run(["delete", "web"]).expect(0).stdout, "web\n");
}
