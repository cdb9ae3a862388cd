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

/// The path that a path through `/proc` or a usual link leads to, as far as text tells: `/var/run` is
/// `/run`, and `/proc/1/root` is `/`.
pub(crate) fn resolved(path: &str) -> String {
    let mut path = normal(path);
    // Each step makes it shorter.
    while let Some(shorter) = resolved_once(&path) {
        path = shorter;
    }
    path
}

fn resolved_once(path: &str) -> Option<String> {
    if let Some(rest) = path.strip_prefix("/var/run").filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        return Some(alloc::format!("/run{rest}"));
    }
    // `/proc/<pid>/root`, also of a thread: `/proc/<pid>/task/<tid>/root`.
    let mut parts = path.strip_prefix("/proc/")?.split('/');
    parts.next()?;
    let mut link = parts.next()?;
    if link == "task" {
        parts.next()?;
        link = parts.next()?;
    }
    if link != "root" && link != "cwd" {
        return None;
    }
    let rest: Vec<&str> = parts.collect();
    Some(normal(&rest.join("/")))
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
            ("/proc/1/root", "/"),
            ("/proc/self/root/var/run/x", "/run/x"),
            ("/proc/self/task/7/root/proc/1/cwd/etc", "/etc"),
            ("/proc/1/roots", "/proc/1/roots"),
            ("/proc/kcore", "/proc/kcore"),
        ] {
            assert_eq!(resolved(path), expected, "{path}");
        }
        assert!(is_within("/etc/x", "/etc") && is_within("/etc", "/etc") && is_within("/x", "/"));
        assert!(!is_within("/etcetera", "/etc") && !is_within("/", "/etc"));
    }
}
