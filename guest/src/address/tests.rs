use alloc::string::ToString;

use super::*;
use crate::testing::{Broken, Recording};

const DAEMON: &str = "/run/containerd/containerd.sock";
const ROOT: &str = "/run/containerd/s";
const NODE: Node<'_> = Node { daemon: DAEMON, socket_root: ROOT };
const SOCKET: &str = "unix:///run/containerd/s/b09ee11a328f29d7e1b1a93d1cb6afb473d3f6bb94aac34a86b9a7d39065a54c";
const OLD: &str = "/containerd-shim/911113b1235bc0a0e2871a31734820d6e49b0374fa90137e8b040fd42ae643cc.sock";

/// The first three as containerd 1.6.20 named its sockets, the others from `sha256sum`.
#[test]
fn golden_addresses() {
    for (daemon, namespace, id, digest) in [
        (DAEMON, "default", "new-bundle-0", "b09ee11a328f29d7e1b1a93d1cb6afb473d3f6bb94aac34a86b9a7d39065a54c"),
        (DAEMON, "moby", "redis7", "911113b1235bc0a0e2871a31734820d6e49b0374fa90137e8b040fd42ae643cc"),
        (
            "/run//containerd/./x/../containerd.sock/",
            "moby",
            "redis7",
            "911113b1235bc0a0e2871a31734820d6e49b0374fa90137e8b040fd42ae643cc",
        ),
        ("", "default", "x", "cf3bd7ff2845028ca9c120e6774c3b2b4d15241386b88497b8c49157a7277a3b"),
        ("", "moby", "redis7", "dc39412ee617844b8d4cae8079435b6e1d937ebd21cf6602a226b1804176e72c"),
        ("./rel//daemon.sock/", "ns", "id", "cc4f1927a7a6a6122013525fe041dd52266e6a02fa0191a20dfeacd28e0caa49"),
    ] {
        let node = Node { daemon, socket_root: ROOT };
        assert_eq!(shim(namespace, id, node).unwrap(), format!("unix:///run/containerd/s/{digest}"), "{daemon}");
    }
}

#[test]
fn the_socket_root_is_joined_as_the_original_does() {
    for (socket_root, expected) in [
        ("/run/containerd/s/", "unix:///run/containerd/s/dc39"),
        ("/run//x/../s", "unix:///run/s/dc39"),
        ("/", "unix:///dc39"),
        ("", "unix://dc39"),
    ] {
        let address = shim("moby", "redis7", Node { daemon: "", socket_root }).unwrap();
        assert!(address.starts_with(expected), "{address}");
    }
}

#[test]
fn identifiers_are_checked() {
    assert!(shim("a/b", "id", NODE).is_err());
    assert!(shim("ns", "..", NODE).is_err());
    assert!(legacy("..", "id").is_err());
    assert!(legacy("ns", "a/../b").is_err());
    let bundle = Recording::default();
    assert!(matches!(connect(&bundle, "ns", "", NODE, true), Err(ConnectError::Identifier(_))));
    assert_eq!(bundle.operations(), []);
}

#[test]
fn legacy_address() {
    assert_eq!(legacy("moby", "redis7").unwrap(), "/containerd-shim/moby/redis7/shim.sock");
}

fn decide(content: &str, allow_legacy: bool) -> Result<Endpoint, ConnectError<Broken>> {
    connect(&Recording::default().with_file("address", content), "moby", "redis7", NODE, allow_legacy)
}

/// CVE-2020-15257: an abstract socket is open to the whole network namespace, so only on request.
#[test]
fn three_generations_of_addresses() {
    for allowed in [false, true] {
        assert_eq!(decide(SOCKET, allowed), Ok(Endpoint::Path(SOCKET.to_string())));
    }
    assert_eq!(decide(OLD, true), Ok(Endpoint::Abstract(OLD.to_string())));
    assert_eq!(decide(OLD, false), Err(ConnectError::LegacyRefused(OLD.to_string())));
    let none = Recording::default();
    let legacy = "/containerd-shim/moby/redis7/shim.sock".to_string();
    assert_eq!(connect(&none, "moby", "redis7", NODE, true), Ok(Endpoint::Abstract(legacy)));
    assert_eq!(connect(&none, "moby", "redis7", NODE, false), Err(ConnectError::NoAddress));
}

/// Defect D11 of the original: any error led to a name that any process could hold.
#[test]
fn only_a_missing_file_leads_to_the_legacy_name() {
    let unreadable = Recording::default().with_unreadable("address", "loop");
    let error = connect(&unreadable, "moby", "redis7", NODE, true);
    assert_eq!(error, Err(ConnectError::Record(Fault::Unreadable(Broken("loop")))));
    for content in ["", "rubbish", "unix://relative", "/tmp/x.sock"] {
        assert!(matches!(decide(content, true), Err(ConnectError::Record(Fault::Malformed(_)))), "{content:?}");
    }
}

/// Defect D12 of the original: any path on file was taken, and later removed.
#[test]
fn a_path_must_lie_in_the_socket_directory() {
    for content in [
        "unix:///run/containerd/x",
        "unix:///run/containerd/s",
        "unix:///run/containerd/s/a/b",
        "unix:///run/containerd/ss/a",
        "unix:///s",
        "unix:///var/run/docker.sock",
    ] {
        let Err(ConnectError::Record(Fault::Malformed(why))) = decide(content, true) else { panic!("{content}") };
        assert!(why.contains(ROOT), "{why}");
    }
    let Err(ConnectError::Record(Fault::Malformed(why))) = decide("unix:///run/\u{202e}x", true) else { panic!() };
    assert!(why.is_ascii(), "{why}");
}

#[test]
fn the_socket_directory_is_cleaned_first() {
    let bundle = || Recording::default().with_file("address", SOCKET);
    for (socket_root, lies_in) in [
        ("/run/containerd/s/", true),
        ("/run//x/../containerd/./s", true),
        ("/", false),
        ("", false),
        ("run/containerd/s", false),
        ("/run/containerd", false),
    ] {
        let node = Node { daemon: DAEMON, socket_root };
        assert_eq!(connect(&bundle(), "moby", "redis7", node, false).is_ok(), lies_in, "{socket_root}");
    }
    let top = Recording::default().with_file("address", "unix:///a");
    assert!(connect(&top, "moby", "redis7", Node { daemon: "", socket_root: "/" }, false).is_ok());
}
