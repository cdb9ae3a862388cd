//! What a container may leave in its bundle: deep, wide and odd trees, and links to elsewhere.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use dunnage_tests::watchdog::within;
use dunnage_tests::{Scratch, privileges, run, scratch, specs};
use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat, symlinkat};

/// Makes nested directories, deeper than any path may be long, with a link to elsewhere in each.
fn nest(top: &Path, levels: usize, elsewhere: &Path) {
    let name = "d".repeat(40);
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut here = openat(CWD, top, flags, Mode::empty()).expect("open");
    for _ in 0..levels {
        symlinkat(elsewhere, &here, "link").expect("a link");
        mkdirat(&here, &name, Mode::RWXU).expect("a directory");
        here = openat(&here, &name, flags, Mode::empty()).expect("open");
    }
}

/// A bundle, and a directory with a file that must survive.
fn bundle_and_victim() -> (Scratch, std::path::PathBuf) {
    let scratch = Scratch::new();
    scratch.dunnage().create(&scratch::id("web"), &specs::plain()).expect("a bundle");
    let victim = scratch.path().join("victim");
    fs::create_dir(&victim).expect("a directory");
    fs::write(victim.join("file"), "data").expect("a file");
    (scratch, victim)
}

fn delete(scratch: &Scratch) {
    let deletion = scratch.dunnage().delete(&scratch::id("web"), false).expect("a deletion");
    assert!(deletion.deleted);
    let left = scratch.tree();
    assert!(!left.iter().any(|line| line.contains("web")), "{left:?}");
}

#[test]
fn trees_deeper_than_paths_may_be_long_are_removed() {
    let (scratch, victim) = bundle_and_victim();
    nest(&scratch.bundle("web").join("rootfs"), 10_000, &victim);
    nest(&scratch.work_dir("web"), 1100, &victim);
    delete(&scratch);
    assert_eq!(fs::read(victim.join("file")).unwrap(), b"data");
}

#[test]
fn wide_trees_are_removed() {
    let (scratch, _) = bundle_and_victim();
    let rootfs = scratch.bundle("web").join("rootfs");
    for number in 0..100_000 {
        fs::write(rootfs.join(format!("file-{number}")), "").unwrap();
    }
    for number in 0..500 {
        fs::create_dir_all(rootfs.join(format!("directory-{number}/in"))).unwrap();
    }
    delete(&scratch);
}

#[test]
fn links_are_removed_and_never_followed() {
    let (scratch, victim) = bundle_and_victim();
    let bundle = scratch.bundle("web");
    fs::remove_dir(bundle.join("rootfs")).unwrap();
    fs::remove_file(bundle.join("config.json")).unwrap();
    for name in ["rootfs", "config.json", "address", "shim.pid", "link"] {
        symlink(&victim, bundle.join(name)).unwrap();
        symlink(victim.join("file"), scratch.work_dir("web").join(name)).unwrap();
    }
    symlink("..", bundle.join("up")).unwrap();
    symlink("/", bundle.join("root")).unwrap();
    symlink("loop", bundle.join("loop")).unwrap();
    delete(&scratch);
    assert_eq!(fs::read(victim.join("file")).unwrap(), b"data");
}

#[test]
fn odd_files_and_names_are_removed() {
    let (scratch, _) = bundle_and_victim();
    let rootfs = scratch.bundle("web").join("rootfs");
    for name in [b"\xff\xfe".as_slice(), b"new\nline", b"-rf", b"...", b" ", &[b'x'; 255]] {
        let directory = rootfs.join(OsStr::from_bytes(name));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join(OsStr::from_bytes(name)), "").unwrap();
    }
    let mut nested = rootfs.clone();
    for _ in 0..150 {
        nested.push("y".repeat(20));
    }
    fs::create_dir_all(nested).unwrap();
    let status = std::process::Command::new("mkfifo").arg(rootfs.join("fifo")).status().unwrap();
    assert!(status.success());
    drop(std::os::unix::net::UnixListener::bind(scratch.bundle("web").join("socket")).unwrap());
    let set_id = rootfs.join("set-id");
    fs::write(&set_id, "").unwrap();
    fs::set_permissions(&set_id, Permissions::from_mode(0o6755)).unwrap();
    delete(&scratch);
}

/// Hard links are one more name of a file that lies elsewhere too.
#[test]
fn hard_links_are_removed_and_their_files_stay_as_they_are() {
    let (scratch, victim) = bundle_and_victim();
    let bundle = scratch.bundle("web");
    fs::remove_file(bundle.join("config.json")).unwrap();
    let file = victim.join("file");
    fs::set_permissions(&file, Permissions::from_mode(0o4755)).unwrap();
    let places = [bundle.clone(), bundle.join("rootfs"), scratch.work_dir("web")];
    for name in ["config.json", "address", "shim.pid", "other"] {
        places.iter().for_each(|place| fs::hard_link(&file, place.join(name)).unwrap());
    }
    let found = || file.metadata().map(|found| (found.mode(), found.mtime_nsec(), found.len())).unwrap();
    let before = found();
    scratch.dunnage().inspect(&scratch::id("web")).unwrap();
    let deletion = scratch.dunnage().delete(&scratch::id("web"), false).unwrap();
    // What stands in `address` is not an address.
    assert!(deletion.deleted && !deletion.warnings.is_empty(), "{deletion:?}");
    assert_eq!((found(), file.metadata().unwrap().nlink()), (before, 1));
    assert_eq!(fs::read(&file).unwrap(), b"data");
}

/// Whatever stands where a file or a directory belongs, it is removed without blocking.
#[test]
fn fifos_and_sockets_in_the_place_of_files_and_directories_go() {
    for replaced in ["config.json", "rootfs", "address", "shim.pid", "shim.stdout.log"] {
        for kind in ["fifo", "socket"] {
            let (scratch, victim) = bundle_and_victim();
            let at = scratch.bundle("web").join(replaced);
            match replaced {
                "rootfs" => fs::remove_dir(&at).unwrap(),
                "config.json" => fs::remove_file(&at).unwrap(),
                _ => {}
            }
            for at in [at, scratch.work_dir("web").join(replaced)] {
                match kind {
                    "fifo" => mknodat(CWD, &at, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
                    _ => drop(std::os::unix::net::UnixListener::bind(&at).unwrap()),
                }
            }
            within(Duration::from_secs(60), "a fifo or a socket", || {
                scratch.dunnage().inspect(&scratch::id("web")).unwrap();
                delete(&scratch);
            });
            assert_eq!(fs::read(victim.join("file")).unwrap(), b"data", "{replaced} {kind}");
        }
    }
}

/// Names of 255 bytes at the depth where directories are moved to the top of the bundle.
#[test]
fn long_names_in_deep_trees_are_removed() {
    let (scratch, _) = bundle_and_victim();
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut here = openat(CWD, scratch.bundle("web").join("rootfs"), flags, Mode::empty()).unwrap();
    for level in 0..200 {
        let name = if level % 2 == 0 { vec![0xff_u8; 255] } else { "ä".repeat(127).into_bytes() };
        mkdirat(&here, &*name, Mode::RWXU).unwrap();
        here = openat(&here, &*name, flags, Mode::empty()).unwrap();
    }
    delete(&scratch);
}

/// A container may take its own rights away; what is left is its owner's all the same.
#[test]
fn directories_that_keep_their_owner_out_are_removed() {
    let scratch = Scratch::new();
    let as_user = |arguments: &[&str], program: Option<&str>| {
        let mut command = match program {
            None => scratch.command(arguments),
            Some(program) => {
                let mut command = std::process::Command::new(program);
                command.args(arguments).current_dir(scratch.path());
                command
            }
        };
        privileges::as_ordinary_user(&scratch, &mut command);
        run(&mut command, []).expect(0)
    };
    let spec = specs::data("plain.json");
    as_user(&["create", "web", "--spec", spec.to_str().unwrap()], None);
    let script = "cd state/default/web/rootfs && mkdir -p a/b/c d && touch a/b/f d/f && chmod 000 a/b/c a/b && \
                  chmod 400 a && chmod 500 d && cd .. && chmod 0 rootfs && chmod 500 .";
    as_user(&["-c", script], Some("sh"));
    let outcome = as_user(&["delete", "web", "-o", "json"], None);
    assert_eq!(outcome.json(), serde_json::json!({ "deleted": ["web"] }));
    assert!(!scratch.bundle("web").exists() && !scratch.work_dir("web").exists());
}
