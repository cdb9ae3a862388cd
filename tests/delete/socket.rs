//! Sockets that dead shims leave: D12, the original removes any path that stands in `address`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use dunnage::Deletion;
use dunnage_tests::{Scratch, privileges, scratch, specs};

/// A bundle, and the path of the socket that its shim must have.
fn bundle() -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    dunnage.create(&scratch::id("web"), &specs::plain()).expect("a bundle");
    fs::create_dir(scratch.sockets()).expect("a socket directory");
    fs::set_permissions(scratch.sockets(), Permissions::from_mode(0o711)).expect("set a mode");
    let address = dunnage.shim_address(&scratch::id("web")).expect("an address");
    record(&scratch, &address);
    let socket = PathBuf::from(address.strip_prefix("unix://").expect("a path"));
    (scratch, socket)
}

fn record(scratch: &Scratch, address: &str) {
    fs::write(scratch.bundle("web").join("address"), address).expect("address");
}

fn delete(scratch: &Scratch) -> Deletion {
    let deletion = scratch.dunnage().delete(&scratch::id("web"), false).expect("a deletion");
    assert!(deletion.deleted && !scratch.bundle("web").exists() && !scratch.work_dir("web").exists());
    deletion
}

#[track_caller]
fn assert_warns(deletion: &Deletion, words: &str) {
    assert_eq!(deletion.warnings.len(), 1, "{:?}", deletion.warnings);
    assert!(deletion.warnings[0].contains(words), "{:?}", deletion.warnings);
}

#[test]
fn the_socket_of_a_dead_shim_goes() {
    let (scratch, socket) = bundle();
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.symlink_metadata().unwrap().file_type().is_socket());
    assert_eq!(delete(&scratch).warnings, [""; 0]);
    assert!(socket.symlink_metadata().is_err());
    assert!(scratch.sockets().is_dir());
}

#[test]
fn a_socket_that_is_gone_already_is_no_matter() {
    let (scratch, _) = bundle();
    assert_eq!(delete(&scratch).warnings, [""; 0]);
    let (scratch, _) = bundle();
    fs::remove_dir(scratch.sockets()).unwrap();
    assert_eq!(delete(&scratch).warnings, [""; 0]);
}

#[test]
fn a_socket_that_somebody_listens_on_stays() {
    let (scratch, socket) = bundle();
    let listener = UnixListener::bind(&socket).unwrap();
    assert_warns(&delete(&scratch), "is listening");
    drop(UnixStream::connect(&socket).unwrap());
    drop(listener);
}

/// A full backlog does not refuse clients: a new connection must wait.
#[test]
fn a_socket_whose_listener_is_busy_stays_and_nobody_waits_for_it() {
    let (scratch, socket) = bundle();
    let listener =
        rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&listener, &rustix::net::SocketAddrUnix::new(&socket).unwrap()).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _waiting = UnixStream::connect(&socket).unwrap();
    assert_warns(&delete(&scratch), "is listening");
    assert!(socket.exists());
}

#[test]
fn d12_what_is_no_socket_stays() {
    type Plant = fn(&std::path::Path) -> std::io::Result<()>;
    let plants: [(&str, Plant); 4] = [
        ("file", |path| fs::write(path, "data")),
        ("directory", |path| fs::create_dir(path)),
        ("link to a file", |path| symlink("/etc/passwd", path)),
        ("dangling link", |path| symlink("nowhere", path)),
    ];
    for (what, plant) in plants {
        let (scratch, socket) = bundle();
        plant(&socket).unwrap();
        assert_warns(&delete(&scratch), "not a socket");
        assert!(socket.symlink_metadata().is_ok(), "{what}");
    }
}

/// Not even a link to a dead socket of ours.
#[test]
fn d12_a_link_to_a_socket_stays() {
    let (scratch, socket) = bundle();
    let real = scratch.sockets().join("real");
    drop(UnixListener::bind(&real).unwrap());
    symlink(&real, &socket).unwrap();
    assert_warns(&delete(&scratch), "not a socket");
    assert!(socket.symlink_metadata().is_ok() && real.exists());
}

#[test]
fn d12_an_address_that_is_not_the_bundles_own_is_never_followed() {
    let (scratch, _) = bundle();
    let dunnage = scratch.dunnage();
    let neighbours = dunnage.shim_address(&scratch::id("neighbour")).unwrap();
    let neighbours_socket = PathBuf::from(neighbours.strip_prefix("unix://").unwrap());
    drop(UnixListener::bind(&neighbours_socket).unwrap());
    let victim = scratch.path().join("victim");
    fs::write(&victim, "data").unwrap();
    let passwd = fs::read("/etc/passwd").unwrap();
    let addresses = [
        "unix:///etc/passwd".to_owned(),
        "/etc/passwd".to_owned(),
        format!("unix://{}", victim.display()),
        format!("unix://{}/../victim", scratch.sockets().display()),
        victim.display().to_string(),
        neighbours,
        "/containerd-shim/default/web/shim.sock".to_owned(),
        "unix://".to_owned(),
        "unix:///".to_owned(),
        String::new(),
        "x".repeat(4096),
        "x".repeat(5000),
    ];
    for address in addresses {
        if !scratch.bundle("web").exists() {
            dunnage.create(&scratch::id("web"), &specs::plain()).unwrap();
        }
        record(&scratch, &address);
        let deletion = delete(&scratch);
        assert_eq!(deletion.warnings.len(), 1, "{address}: {:?}", deletion.warnings);
    }
    assert!(neighbours_socket.exists());
    assert_eq!(fs::read(&victim).unwrap(), b"data");
    assert_eq!(fs::read("/etc/passwd").unwrap(), passwd);
}

/// An address of an earlier daemon, or of another socket directory, is not this bundle's any more.
#[test]
fn a_socket_outside_the_socket_directory_stays() {
    let (scratch, _) = bundle();
    let other = scratch.path().join("other");
    fs::create_dir(&other).unwrap();
    let before = scratch.builder().socket_root(&other).build().unwrap();
    let address = before.shim_address(&scratch::id("web")).unwrap();
    let socket = PathBuf::from(address.strip_prefix("unix://").unwrap());
    drop(UnixListener::bind(&socket).unwrap());
    record(&scratch, &address);
    assert_warns(&delete(&scratch), "was not removed");
    assert!(socket.exists());
}

/// A user who can write to the socket directory could have put the socket there.
#[test]
fn a_socket_in_a_directory_that_others_can_write_to_stays() {
    let (scratch, socket) = bundle();
    drop(UnixListener::bind(&socket).unwrap());
    fs::set_permissions(scratch.sockets(), Permissions::from_mode(0o1777)).unwrap();
    assert_warns(&delete(&scratch), "writable by everybody");
    assert!(socket.exists());
}

#[test]
#[cfg_attr(not(has_root), ignore = "needs root")]
fn privileged_a_socket_of_somebody_else_stays() {
    if !privileges::root("sockets of others") {
        return;
    }
    let (scratch, socket) = bundle();
    drop(UnixListener::bind(&socket).unwrap());
    chown(&socket, Some(4711), None).unwrap();
    assert_warns(&delete(&scratch), "another user");
    assert!(socket.exists());
}
