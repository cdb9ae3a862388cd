//! Paths as text: joined and cleaned exactly as Go's `path/filepath` does on Linux.

use alloc::string::String;
use alloc::vec::Vec;

/// Joins parts with `/`, leaving out empty ones, and cleans the result; nothing at all stays
/// empty. Similar to `filepath.Join`.
#[must_use]
pub fn join(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { String::new() } else { clean(&parts.join("/")) }
}

/// The shortest path that means the same: without `//`, `/./`, `x/..` and a trailing `/`; `..`
/// above the root vanishes, an empty path is `.`. Similar to `filepath.Clean`.
#[must_use]
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match kept.last() {
                Some(&"..") | None if rooted && kept.is_empty() => {}
                Some(&"..") | None => kept.push(".."),
                Some(_) => {
                    kept.pop();
                }
            },
            name => kept.push(name),
        }
    }
    let mut clean = String::with_capacity(path.len());
    if rooted {
        clean.push('/');
    }
    for (index, part) in kept.iter().enumerate() {
        if index > 0 {
            clean.push('/');
        }
        clean.push_str(part);
    }
    if clean.is_empty() {
        clean.push('.');
    }
    clean
}

#[cfg(test)]
mod tests;
