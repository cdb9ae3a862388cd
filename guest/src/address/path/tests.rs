//! Rows as Go's `path/filepath` answers them on Linux (its tests are `TestClean` and `TestJoin`).

use super::*;

/// Parts, and what joining them gives.
const JOINED: &[(&[&str], &str)] = &[
    (&[], ""),
    (&[""], ""),
    (&["", ""], ""),
    (&["a"], "a"),
    (&["a", "b"], "a/b"),
    (&["a", ""], "a"),
    (&["", "b"], "b"),
    (&["/", "a"], "/a"),
    (&["/", "a/b"], "/a/b"),
    (&["/", ""], "/"),
    (&["/a", "b"], "/a/b"),
    (&["a", "/b"], "a/b"),
    (&["/a", "/b"], "/a/b"),
    (&["a/", "b"], "a/b"),
    (&["a/", "/b"], "a/b"),
    (&["a//", "//b"], "a/b"),
    (&["a/", ""], "a"),
    (&["", "a/"], "a"),
    (&["/a/", "b/", "c/"], "/a/b/c"),
    (&["//", "a"], "/a"),
    (&["//a", "b"], "/a/b"),
    (&["///"], "/"),
    (&["/"], "/"),
    (&["."], "."),
    (&["./"], "."),
    (&["./a"], "a"),
    (&[".", "a"], "a"),
    (&["a", "."], "a"),
    (&["a", "./b"], "a/b"),
    (&[".", "."], "."),
    (&["/", "."], "/"),
    (&["/."], "/"),
    (&[".."], ".."),
    (&["../"], ".."),
    (&["../.."], "../.."),
    (&["..", ".."], "../.."),
    (&["../a"], "../a"),
    (&["a", ".."], "."),
    (&["a", "..", ".."], ".."),
    (&["a/../..", "b"], "../b"),
    (&["a", "../b"], "b"),
    (&["a", "../../b"], "../b"),
    (&["a/b", "../../.."], ".."),
    (&["/.."], "/"),
    (&["/", ".."], "/"),
    (&["/", "../..", "a"], "/a"),
    (&["/a", ".."], "/"),
    (&["/a", "../.."], "/"),
    (&["/a", "../../b"], "/b"),
    (&["/../a"], "/a"),
    (&["a/b/../c"], "a/c"),
    (&["a/./b"], "a/b"),
    (&["a/b/.."], "a"),
    (&["a/b/."], "a/b"),
    (&["/a/b/../../.."], "/"),
    (&["..."], "..."),
    (&["a", "..."], "a/..."),
    (&["..a"], "..a"),
    (&["a.."], "a.."),
    (&["a", "..b"], "a/..b"),
    (&[".a"], ".a"),
    (&["a."], "a."),
    (&["/a/..b/c"], "/a/..b/c"),
    (&["é", "..", "b"], "b"),
    (&[" ", "a"], " /a"),
    (&["a b", "c"], "a b/c"),
    (&["a\\b", "c"], "a\\b/c"),
    (&[".", "", ".."], ".."),
    (&["", "/", "..", "a"], "/a"),
    (
        &["/run/containerd/containerd.sock", "default", "new-bundle-0"],
        "/run/containerd/containerd.sock/default/new-bundle-0",
    ),
    (&["/run//containerd/./x/../containerd.sock/", "moby", "redis7"], "/run/containerd/containerd.sock/moby/redis7"),
    (&["", "moby", "redis7"], "moby/redis7"),
    (&["daemon.sock", "moby", "redis7"], "daemon.sock/moby/redis7"),
    (&["./daemon.sock", "moby", "redis7"], "daemon.sock/moby/redis7"),
    (&["../daemon.sock", "moby", "redis7"], "../daemon.sock/moby/redis7"),
    (&["..", "moby", "redis7"], "../moby/redis7"),
    (&[".", "moby", "redis7"], "moby/redis7"),
    (&["/", "moby", "redis7"], "/moby/redis7"),
    (&["//", "moby", "redis7"], "/moby/redis7"),
    (&["/..", "moby", "redis7"], "/moby/redis7"),
    (&["/run/containerd/containerd.sock/..", "moby", "redis7"], "/run/containerd/moby/redis7"),
    (&["unix:///run/x.sock", "moby", "redis7"], "unix:/run/x.sock/moby/redis7"),
    (&["x/..", "moby", "redis7"], "moby/redis7"),
    (&["/run/containerd/s/", "0a"], "/run/containerd/s/0a"),
    (&["/containerd-shim/", "moby", "redis7", "shim.sock"], "/containerd-shim/moby/redis7/shim.sock"),
];

#[test]
fn joins_as_go_does() {
    assert!(JOINED.len() >= 60);
    for (parts, expected) in JOINED {
        assert_eq!(join(parts), *expected, "{parts:?}");
    }
}

#[test]
fn cleaning_is_done_once() {
    assert_eq!(clean(""), ".");
    for (_, joined) in JOINED.iter().filter(|(_, joined)| !joined.is_empty()) {
        assert_eq!(clean(joined), *joined);
    }
}

/// Every short text over the characters that matter, against the rules of the documentation of
/// `path/filepath.Clean`, applied one at a time until none applies.
#[test]
fn every_short_path() {
    let mut paths = alloc::vec![String::new()];
    for _ in 0..7 {
        paths = paths.iter().flat_map(|path| ["/", ".", "a"].map(|end| path.clone() + end)).collect();
        for path in &paths {
            assert_eq!(clean(path), clean_by_rules(path), "{path}");
        }
    }
}

fn clean_by_rules(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = path.split('/').collect();
    loop {
        let nothing = parts.iter().position(|part| matches!(*part, "" | "."));
        let pair = parts.windows(2).position(|pair| pair[0] != ".." && pair[1] == "..");
        if let Some(at) = nothing {
            parts.remove(at);
        } else if let Some(at) = pair {
            parts.drain(at..at + 2);
        } else if rooted && parts.first() == Some(&"..") {
            parts.remove(0);
        } else {
            break;
        }
    }
    match (rooted, parts.join("/")) {
        (true, path) => String::from("/") + &path,
        (false, path) if path.is_empty() => ".".into(),
        (false, path) => path,
    }
}
