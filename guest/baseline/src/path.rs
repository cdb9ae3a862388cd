//! Paths as text: this guard sees no file system.

use alloc::string::String;
use alloc::vec::Vec;

/// The path without `.`, `..`, doubled and trailing slashes. What `..` would lead above stays at `/`.
pub(crate) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let mut normal = String::with_capacity(path.len() + 1);
    for part in parts {
        normal.push('/');
        normal.push_str(part);
    }
    if normal.is_empty() {
        normal.push('/');
    }
    normal
}

/// Whether a path is another one or lies below it. Both are normal.
pub(crate) fn is_within(path: &str, other: &str) -> bool {
    other == "/" || path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a path is what the kernel walks, without a detour: behind a link, `..` leads elsewhere than the
/// text says.
pub(crate) fn is_plain(path: &str) -> bool {
    path.starts_with('/') && !path.split('/').any(|part| part == "..")
}

/// The same path by its other name, where usual links are: `/var/run` is `/run`.
pub(crate) fn resolved(path: &str) -> String {
    let path = normal(path);
    match path.strip_prefix("/var/run").filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        Some(rest) => alloc::format!("/run{rest}"),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_the_kernel_reads_them() {
        for (path, expected) in [
            ("", "/"),
            ("/", "/"),
            ("//run/.//x/../docker.sock/", "/run/docker.sock"),
            ("/../../etc", "/etc"),
            ("/var/run/docker.sock", "/run/docker.sock"),
            ("/var/running", "/var/running"),
            ("/var/run", "/run"),
        ] {
            assert_eq!(resolved(path), expected, "{path}");
        }
        assert!(is_within("/etc/x", "/etc") && is_within("/etc", "/etc") && is_within("/x", "/"));
        assert!(!is_within("/etcetera", "/etc") && !is_within("/", "/etc"));
        assert!(is_plain("//a/./b/") && !is_plain("/a/../b") && !is_plain("a") && !is_plain(""));
    }
}
