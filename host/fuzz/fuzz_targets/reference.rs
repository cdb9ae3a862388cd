//! Go's `path.Clean`, written again: Go's own algorithm, byte by byte.

pub(crate) fn clean(path: &str) -> String {
    let path = path.as_bytes();
    let rooted = path.first() == Some(&b'/');
    let at = |index: usize| path.get(index).copied();
    let ends = |index: usize| matches!(at(index), None | Some(b'/'));
    let mut out = Vec::from_iter(rooted.then_some(b'/'));
    // What lies before this is `..` or the root, and stays.
    let mut fixed = out.len();
    let mut read = out.len();
    while read < path.len() {
        if at(read) == Some(b'/') || at(read) == Some(b'.') && ends(read + 1) {
            read += 1;
        } else if at(read) == Some(b'.') && at(read + 1) == Some(b'.') && ends(read + 2) {
            read += 2;
            if out.len() > fixed {
                while out.len() > fixed && out.pop() != Some(b'/') {}
            } else if !rooted {
                out.extend(if out.is_empty() { &b".."[..] } else { b"/.." });
                fixed = out.len();
            }
        } else {
            if out.len() != usize::from(rooted) {
                out.push(b'/');
            }
            while !ends(read) {
                out.push(path[read]);
                read += 1;
            }
        }
    }
    if out.is_empty() { ".".into() } else { String::from_utf8(out).unwrap() }
}
