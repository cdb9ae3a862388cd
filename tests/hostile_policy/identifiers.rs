//! A policy that accepts any identifier: the host itself refuses what cannot be the name of a
//! directory.

use dunnage::{BundleId, Dunnage, Error, ErrorKind, Scope};
use dunnage_tests::binary::Build;
use dunnage_tests::hostile;
use dunnage_tests::scratch::id;
use dunnage_tests::{Scratch, run, specs};

const BAD: [&str; 11] =
    ["", ".", "..", ".x", "...", "a/b", "../web-1", "/etc", "a\0b", "\0", "web-1/../../../state/default/web-1"];

/// A place with a bundle in it that must stay as it is.
fn place() -> (Scratch, Dunnage) {
    let scratch = Scratch::new();
    let dunnage = hostile::dunnage(&scratch);
    dunnage.create(&id("web-1"), &specs::plain()).unwrap();
    std::fs::create_dir(scratch.state().join("default/.x")).unwrap();
    (scratch, dunnage)
}

#[track_caller]
fn assert_broken(error: &Error, what: &str) {
    assert_eq!(error.kind(), ErrorKind::PolicyBroken, "{what}: {error}");
    assert!(error.to_string().contains("not the name of a directory"), "{what}: {error}");
}

#[test]
fn the_host_refuses_what_is_no_name() {
    let (scratch, dunnage) = place();
    let before = scratch.tree();
    let long = "x".repeat(256);
    for bad in BAD.iter().copied().chain([long.as_str()]) {
        for id in [BundleId::new("default", bad), BundleId::new(bad, "web-1"), BundleId::new(bad, bad)] {
            assert_broken(&dunnage.create(&id, &specs::plain()).unwrap_err(), &format!("create {id}"));
            assert_broken(&dunnage.delete(&id, true).unwrap_err(), &format!("delete {id}"));
            assert_broken(&dunnage.inspect(&id).unwrap_err(), &format!("inspect {id}"));
            assert_broken(&dunnage.load(&id).unwrap_err(), &format!("load {id}"));
        }
        assert_broken(&dunnage.list(Scope::Namespace(bad)).unwrap_err(), &format!("list {bad:?}"));
        assert_eq!(scratch.tree(), before, "{bad:?}");
    }
}

/// A path is an answer too, and programs use it.
#[test]
fn the_host_does_not_tell_where_such_a_bundle_would_lie() {
    let (_scratch, dunnage) = place();
    for bad in BAD {
        for id in [BundleId::new("default", bad), BundleId::new(bad, "web-1")] {
            let located = dunnage.locate(&id).map(|bundle| bundle.path().to_owned());
            assert_broken(&located.unwrap_err(), &format!("locate {id}"));
        }
    }
}

#[test]
fn the_binary_exits_with_7() {
    let (scratch, _) = place();
    let before = scratch.tree();
    let spec = specs::data("plain.json");
    let spec = spec.to_str().unwrap();
    for bad in BAD.iter().filter(|bad| !bad.contains('\0')) {
        for arguments in [
            &["create", "--spec", spec, "--", bad][..],
            &["delete", "--", bad],
            &["inspect", "--", bad],
            &["create", "--spec", spec, "web-1", "--namespace", bad],
            &["delete", "web-1", "--namespace", bad],
            &["inspect", "web-1", "--namespace", bad],
            &["list", "--namespace", bad],
        ] {
            let mut command = scratch.command_of(Build::PolicyFile, hostile::options());
            let outcome = run(command.args(arguments), []);
            assert_eq!(outcome.code, Some(7), "{arguments:?}: {outcome:?}");
            assert!(outcome.stderr.contains("not the name of a directory"), "{arguments:?}: {outcome:?}");
            assert_eq!(scratch.tree(), before, "{arguments:?}");
        }
    }
}

/// What lies in the state directory under such names is not listed either.
#[test]
fn hidden_names_are_not_listed() {
    let (scratch, dunnage) = place();
    std::fs::create_dir_all(scratch.state().join(".hidden/web-2")).unwrap();
    let listed = dunnage.list(Scope::All).unwrap();
    let ids: Vec<_> = listed.iter().map(|listed| listed.bundle.id().to_string()).collect();
    assert_eq!(ids, ["default/web-1"]);
}
