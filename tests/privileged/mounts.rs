//! Deleting with something mounted: never through a mount, never lazily, nothing moved before it
//! is clear that all can be unmounted (defect D1; containerd #10704, #11376, kata #11183).

mod elsewhere;
mod meanwhile;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dunnage::{Dunnage, ErrorKind};
use dunnage_tests::scratch::id;
use dunnage_tests::{Scratch, fingerprint, mounts, privileges, run, specs};

/// A way to mount something on a directory, and its name.
type Way<'a> = (&'a str, &'a dyn Fn(&Path));

/// Directories, and among them one with things in it that must outlive every bundle.
struct Place {
    scratch: Scratch,
    precious: PathBuf,
}

/// Runs a test in a mount namespace of its own, if it may. Whatever it does, what is precious comes
/// out of it unchanged.
fn in_private(test: &str, run: impl FnOnce(&Place) + Send) {
    if !privileges::root(test) {
        return;
    }
    let scratch = Scratch::new();
    let precious = scratch.path().join("precious");
    fs::create_dir_all(precious.join("etc/deep")).unwrap();
    fs::write(precious.join("data"), "precious").unwrap();
    fs::write(precious.join("etc/deep/data"), "precious").unwrap();
    let place = Place { scratch, precious };
    let before = fingerprint::of(&place.precious);
    mounts::private(|| run(&place));
    assert_eq!(fingerprint::of(&place.precious), before, "{test}");
}

fn create(scratch: &Scratch, name: &str) -> (Dunnage, PathBuf) {
    let dunnage = scratch.dunnage();
    dunnage.create(&id(name), &specs::plain()).unwrap();
    (dunnage, scratch.bundle(name))
}

#[track_caller]
fn assert_deleted(scratch: &Scratch, dunnage: &Dunnage, name: &str) {
    let deletion = dunnage.delete(&id(name), false).unwrap();
    assert!(deletion.deleted && deletion.warnings.is_empty(), "{deletion:?}");
    assert!(!scratch.bundle(name).exists() && !scratch.work_dir(name).exists());
    assert_eq!(mounts::below(scratch.state()), [""; 0]);
    assert_eq!(fs::read_dir(scratch.state().join("default")).unwrap().count(), 0);
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_d1_what_is_mounted_on_rootfs_outlives_the_bundle() {
    in_private("privileged_d1_what_is_mounted_on_rootfs_outlives_the_bundle", |Place { scratch, precious }| {
        let base = scratch.path().join("base");
        mounts::tmpfs(&base);
        let ways: [Way<'_>; 4] = [
            ("bind", &|rootfs| mounts::bind(precious, rootfs)),
            ("tmpfs", &|rootfs| {
                mounts::tmpfs(rootfs);
                fs::write(rootfs.join("file"), "x").unwrap();
            }),
            ("overlay", &|rootfs| mounts::overlay(precious, &base.join("u"), &base.join("w"), rootfs)),
            ("read-only", &|rootfs| {
                mounts::bind(precious, rootfs);
                mounts::set_read_only(rootfs, true);
            }),
        ];
        for (name, mount) in ways {
            let (dunnage, bundle) = create(scratch, name);
            mount(&bundle.join("rootfs"));
            assert_eq!(mounts::below(&bundle).len(), 1, "{name}");
            assert_deleted(scratch, &dunnage, name);
        }
    });
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_nested_mounts_go_innermost_first_whatever_their_names() {
    in_private("privileged_nested_mounts_go_innermost_first_whatever_their_names", |Place { scratch, precious }| {
        let (dunnage, bundle) = create(scratch, "web-1");
        let rootfs = bundle.join("rootfs");
        mounts::tmpfs(&rootfs);
        for name in ["proc", "dev", "dev/pts", "a b", "tab\tstop", "back\\slash", "\\040", "new\nline", "ünïcode", "#"]
        {
            mounts::tmpfs(rootfs.join(name));
            mounts::tmpfs(rootfs.join(name).join("inner most"));
            mounts::bind(precious, rootfs.join(name).join("inner most"));
        }
        // A file can be a mount point too: `/etc/hosts` of a container is one.
        fs::write(rootfs.join("hosts"), "").unwrap();
        mounts::bind(precious.join("data"), rootfs.join("hosts"));
        let mut deep = rootfs.clone();
        for level in 0..30 {
            deep.push(format!("level-{level}"));
            mounts::tmpfs(&deep);
        }
        assert_eq!(mounts::below(&bundle).len(), 1 + 10 * 3 + 1 + 30);
        assert_deleted(scratch, &dunnage, "web-1");
    });
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_stacked_and_hidden_mounts_go_too() {
    in_private("privileged_stacked_and_hidden_mounts_go_too", |Place { scratch, precious }| {
        let (dunnage, bundle) = create(scratch, "web-1");
        let rootfs = bundle.join("rootfs");
        for layer in 0..4 {
            // Each layer hides the mounts that lie in the one below.
            mounts::tmpfs(&rootfs);
            mounts::tmpfs(rootfs.join("sub"));
            mounts::tmpfs(rootfs.join(format!("only-in-{layer}")));
        }
        mounts::bind(precious, &rootfs);
        assert_eq!(mounts::below(&bundle).len(), 13);
        assert_deleted(scratch, &dunnage, "web-1");
    });
}

/// The second of two bundles stays as it is, mounts and all; the name of the one is the beginning
/// of the other's.
#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_the_mounts_of_other_bundles_stay() {
    in_private("privileged_the_mounts_of_other_bundles_stay", |Place { scratch, .. }| {
        let (dunnage, one) = create(scratch, "web");
        let (_, other) = create(scratch, "web-1");
        mounts::tmpfs(one.join("rootfs"));
        mounts::tmpfs(other.join("rootfs"));
        assert!(dunnage.delete(&id("web"), false).unwrap().deleted);
        assert_eq!(mounts::below(&other).len(), 1);
    });
}

/// Something that stays in a directory until it is stopped.
struct Squatter(Child);

impl Squatter {
    fn in_directory(directory: &Path) -> Self {
        let mut cat = Command::new("cat");
        // It ends with this process at the latest, since its standard input is a pipe of ours.
        Self(cat.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat"))
    }

    fn stop(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("the end of cat");
    }
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_busy_mount_is_refused_and_nothing_is_touched() {
    in_private("privileged_a_busy_mount_is_refused_and_nothing_is_touched", |Place { scratch, .. }| {
        let (dunnage, bundle) = create(scratch, "web-1");
        let rootfs = bundle.join("rootfs");
        mounts::tmpfs(&rootfs);
        fs::write(rootfs.join("data"), "precious").unwrap();
        let (before, mounted) = (scratch.tree(), mounts::below(&bundle));

        let squatter = Squatter::in_directory(&rootfs);
        let error = dunnage.delete(&id("web-1"), true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mounted, "{error}");
        assert_eq!(error.path(), Some(rootfs.as_path()), "{error}");
        assert!(error.to_string().contains("nothing was deleted"), "{error}");
        // It is still mounted, and not merely detached; nothing has moved.
        assert_eq!((scratch.tree(), mounts::below(&bundle)), (before.clone(), mounted.clone()));
        squatter.stop();

        let open = fs::File::open(rootfs.join("data")).unwrap();
        let outcome = run(&mut scratch.command(["delete", "web-1", "-o", "json"]), []).expect(6);
        assert!(outcome.stderr.contains(r#""kind":"mounted""#), "{outcome:?}");
        assert!(outcome.stderr.contains(rootfs.to_str().unwrap()), "{outcome:?}");
        assert_eq!((scratch.tree(), mounts::below(&bundle)), (before, mounted));
        drop(open);
        assert_deleted(scratch, &dunnage, "web-1");
    });
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_mount_that_is_busy_for_a_while_is_waited_for() {
    in_private("privileged_a_mount_that_is_busy_for_a_while_is_waited_for", |Place { scratch, .. }| {
        let (dunnage, bundle) = create(scratch, "web-1");
        mounts::tmpfs(bundle.join("rootfs"));
        mounts::tmpfs(bundle.join("rootfs/free"));
        let squatter = Squatter::in_directory(&bundle.join("rootfs"));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(700));
                squatter.stop();
            });
            assert_deleted(scratch, &dunnage, "web-1");
        });
    });
}

/// A namespace directory may be a mount point: it is the operator's.
#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_namespaces_may_be_mounts() {
    in_private("privileged_namespaces_may_be_mounts", |Place { scratch, .. }| {
        for directory in
            [scratch.state(), scratch.root(), scratch.state().join("default"), scratch.root().join("default")]
        {
            mounts::tmpfs_with(&directory, c"mode=0711");
        }
        let before = mounts::below(scratch.path());
        let (dunnage, _) = create(scratch, "web-1");
        assert!(dunnage.delete(&id("web-1"), false).unwrap().deleted);
        assert_eq!(mounts::below(scratch.path()), before);
    });
}
