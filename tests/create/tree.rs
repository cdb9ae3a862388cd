//! The exact tree: names, kinds, modes, owners, contents.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use dunnage::{ErrorKind, Spec};
use dunnage_tests::{Scratch, privileges, scratch, specs};

/// What a bundle called `web` in fresh directories looks like, as [`Scratch::tree`] has it.
pub(crate) fn expected(spec: &Spec, remapped_gid: u32, owner: (u32, u32)) -> Vec<String> {
    let (uid, gid) = owner;
    let (bundle, config, group) = if remapped_gid == 0 { (700, 600, gid) } else { (710, 640, remapped_gid) };
    let size = spec.as_bytes().len();
    vec![
        format!("root d0711 {uid}:{gid} 0"),
        format!("root/default d0711 {uid}:{gid} 0"),
        format!("root/default/web d0711 {uid}:{gid} 0"),
        format!("state d0711 {uid}:{gid} 0"),
        format!("state/default d0711 {uid}:{gid} 0"),
        format!("state/default/web d0{bundle} {uid}:{group} 0"),
        format!("state/default/web/config.json -0{config} {uid}:{group} {size}"),
        format!("state/default/web/rootfs d0711 {uid}:{gid} 0"),
    ]
}

/// Creates `web` and checks everything that is there afterwards.
fn check(scratch: &Scratch, spec: &Spec, remapped_gid: u32) {
    let created = scratch.dunnage().create(&scratch::id("web"), spec).unwrap();
    assert_eq!(created.remapped_gid, remapped_gid);
    assert_eq!(created.bundle.path(), scratch.bundle("web"));
    assert_eq!(created.bundle.work_dir(), scratch.work_dir("web"));
    assert_eq!(created.bundle.id(), &scratch::id("web"));
    assert_eq!(scratch.tree(), expected(spec, remapped_gid, privileges::own_ids()));
    assert_eq!(fs::read(scratch.bundle("web").join("config.json")).unwrap(), spec.as_bytes());
}

#[test]
fn a_bundle_without_remapping_belongs_to_its_maker_alone() {
    check(&Scratch::new(), &specs::plain(), 0);
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_remapped_bundle_is_open_to_its_group_and_nobody_else() {
    if !privileges::root("the tree of remapped bundles") {
        return;
    }
    for spec in [specs::userns(), specs::file("seccomp.json")] {
        check(&Scratch::new(), &spec, 100_000);
    }
}

/// The spec goes to disk byte for byte: it is not parsed and printed again.
#[test]
fn odd_but_valid_specs_are_written_unchanged() {
    for text in ["null", " {}\r\n\t ", r#"{"b":1,"a":1e999999,"b":"\u0000\/"}"#, "{\"x\":\"\u{7f}ä\u{10ffff}\"}"] {
        check(&Scratch::new(), &specs::text(text), 0);
    }
    let large = format!(r#"{{"x":"{}"}}"#, "y".repeat(15 << 20));
    check(&Scratch::new(), &specs::text(&large), 0);
}

#[test]
fn ids_and_namespaces_may_have_76_characters() {
    let scratch = Scratch::new();
    let (namespace, id) = ("n".repeat(76), "i".repeat(76));
    let dunnage = scratch.dunnage();
    let created = dunnage.create(&dunnage::BundleId::new(&namespace, &id), &specs::plain()).unwrap();
    assert_eq!(created.bundle.path(), scratch.state().join(namespace).join(id));
    assert!(created.bundle.path().join("config.json").is_file());
}

#[test]
fn a_second_bundle_of_a_name_is_refused_and_the_first_one_unchanged() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    dunnage.create(&scratch::id("web"), &specs::plain()).unwrap();
    fs::write(scratch.bundle("web").join("rootfs/file"), "data").unwrap();
    let before = scratch.tree();
    for spec in [specs::plain(), specs::text("{}"), specs::mapping(0, privileges::own_ids().1 + 1)] {
        let error = dunnage.create(&scratch::id("web"), &spec).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
        assert_eq!(error.path(), Some(&*scratch.bundle("web")));
        assert_eq!(scratch.tree(), before);
    }
    assert_eq!(fs::read(scratch.bundle("web").join("config.json")).unwrap(), specs::plain().as_bytes());
    // The same id in another namespace is another bundle.
    dunnage.create(&dunnage::BundleId::new("other", "web"), &specs::plain()).unwrap();
}

/// Whatever has the name, even a file or a dangling link, is in the way and stays.
#[test]
fn anything_else_of_that_name_is_in_the_way_too() {
    type Plant = fn(&std::path::Path) -> std::io::Result<()>;
    let plants: [(&str, Plant); 4] = [
        ("file", |path| fs::write(path, "data")),
        ("empty directory", |path| fs::create_dir(path)),
        ("dangling link", |path| std::os::unix::fs::symlink("nowhere", path)),
        ("link to a directory", |path| std::os::unix::fs::symlink("/tmp", path)),
    ];
    for (what, plant) in plants {
        let scratch = Scratch::new();
        let dunnage = scratch.dunnage();
        dunnage.create(&scratch::id("first"), &specs::plain()).unwrap();
        plant(&scratch.bundle("web")).unwrap();
        let before = scratch.tree();
        let error = dunnage.create(&scratch::id("web"), &specs::plain()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists, "{what}: {error}");
        assert_eq!(scratch.tree(), before, "{what}");
    }
}

/// D6: the original removes a work directory that it found, when it fails. Here one that is there
/// is used as it is, and stays whatever happens.
#[test]
fn d6_a_work_directory_that_is_there_is_used_and_never_rolled_back() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    dunnage.create(&scratch::id("other"), &specs::plain()).unwrap();
    let work = scratch.work_dir("web");
    fs::create_dir(&work).unwrap();
    fs::set_permissions(&work, Permissions::from_mode(0o755)).unwrap();
    fs::write(work.join("kept"), "data").unwrap();
    let before = scratch.tree();

    let picky = scratch.builder().groups("7".parse().unwrap()).build().unwrap();
    let error = picky.create(&scratch::id("web"), &specs::mapping(0, 8)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::GroupNotAllowed, "{error}");
    assert_eq!(scratch.tree(), before);

    dunnage.create(&scratch::id("web"), &specs::plain()).unwrap();
    assert_eq!(work.metadata().unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(fs::read(work.join("kept")).unwrap(), b"data");

    let error = dunnage.create(&scratch::id("web"), &specs::plain()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert_eq!(fs::read(work.join("kept")).unwrap(), b"data");
}

#[test]
fn durable_bundles_look_the_same() {
    let scratch = Scratch::new();
    let dunnage = scratch.builder().durable(true).build().unwrap();
    dunnage.create(&scratch::id("web"), &specs::plain()).unwrap();
    assert_eq!(scratch.tree(), expected(&specs::plain(), 0, privileges::own_ids()));
    assert!(dunnage.delete(&scratch::id("web"), false).unwrap().deleted);
    assert!(!scratch.bundle("web").exists() && !scratch.work_dir("web").exists());
}
