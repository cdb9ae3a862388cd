//! The quick reader: one pass over a usual spec. It may only accept.
//!
//! What it answers, the reader behind serde_json answers too; that is the one property to rely on,
//! and the tests hold the two against each other. Whatever is wrong with a spec, or merely
//! uncommon, it leaves to the other: `None` says nothing.

mod block;
mod grammar;
mod scalar;
mod strings;
mod tokens;

use self::tokens::Tokens;
use super::reader::{Collect, List, Mapping, Process};

/// Reads the mappings out of a spec.
pub(super) fn mappings(spec: &[u8], collect: &mut impl Collect) -> Option<()> {
    document(spec, "linux", |tokens, linux| read_linux(tokens, linux, collect))
}

/// Reads what is known of the process out of a spec.
pub(super) fn process(spec: &[u8]) -> Option<Process> {
    let mut process = Process::default();
    document(spec, "process", |tokens, value| read_process(tokens, value, &mut process))?;
    Some(process)
}

/// Reads one part of a spec, all of which must be JSON.
fn document(spec: &[u8], part: &'static str, mut read: impl FnMut(&mut Tokens<'_>, usize) -> Option<()>) -> Option<()> {
    let mut tokens = Tokens::new(spec);
    let start = tokens.next()?;
    members(&mut tokens, start, &[part], |tokens, _, value| read(tokens, value))?;
    tokens.finish()
}

fn read_linux<C: Collect>(tokens: &mut Tokens<'_>, linux: usize, collect: &mut C) -> Option<()> {
    members(tokens, linux, C::LISTS, |tokens, name, value| read_list(tokens, List::named(name), value, collect))
}

fn read_list(tokens: &mut Tokens<'_>, list: List, start: usize, collect: &mut impl Collect) -> Option<()> {
    if tokens.byte(start)? != b'[' {
        return None;
    }
    let mut index = 0;
    let mut entry = tokens.next()?;
    if tokens.byte(entry)? == b']' {
        return Some(());
    }
    loop {
        collect.take(list, index, read_mapping(tokens, entry)?);
        index += 1;
        let next = tokens.next()?;
        match tokens.byte(next)? {
            b',' => entry = tokens.next()?,
            b']' => return Some(()),
            _ => return None,
        }
    }
}

fn read_mapping(tokens: &mut Tokens<'_>, entry: usize) -> Option<Mapping> {
    let mut mapping = Mapping::default();
    members(tokens, entry, &["containerID", "hostID", "size"], |tokens, name, value| {
        let number = scalar::plain_number(tokens.behind(value))?;
        match name {
            "containerID" => mapping.container = number,
            "hostID" => mapping.host = number,
            _ => mapping.size = number,
        }
        Some(())
    })?;
    Some(mapping)
}

fn read_process(tokens: &mut Tokens<'_>, value: usize, process: &mut Process) -> Option<()> {
    members(tokens, value, &["terminal", "user"], |tokens, name, value| {
        if name == "user" {
            return read_user(tokens, value, process);
        }
        process.terminal = scalar::boolean(tokens.behind(value))?;
        Some(())
    })
}

fn read_user(tokens: &mut Tokens<'_>, value: usize, process: &mut Process) -> Option<()> {
    members(tokens, value, &["uid", "gid"], |tokens, name, value| {
        let id = scalar::plain_number(tokens.behind(value))?;
        if name == "uid" {
            process.user.uid = id;
        } else {
            process.user.gid = id;
        }
        Some(())
    })
}

/// Reads the known members of an object, each of which may stand there once, and skips all others.
fn members(
    tokens: &mut Tokens<'_>,
    start: usize,
    known: &[&'static str],
    mut read: impl FnMut(&mut Tokens<'_>, &'static str, usize) -> Option<()>,
) -> Option<()> {
    if tokens.byte(start)? != b'{' {
        return None;
    }
    let mut seen = 0_u8;
    let mut key = tokens.next()?;
    if tokens.byte(key)? == b'}' {
        return Some(());
    }
    loop {
        let found = find(tokens.behind(key), known)?;
        let colon = tokens.next()?;
        if tokens.byte(colon)? != b':' {
            return None;
        }
        let value = tokens.next()?;
        match found {
            Some((index, _)) if seen & (1 << index) != 0 => return None,
            Some((index, name)) => {
                seen |= 1 << index;
                read(tokens, name, value)?;
            }
            None => tokens.skip(value)?,
        }
        let next = tokens.next()?;
        match tokens.byte(next)? {
            b',' => key = tokens.next()?,
            b'}' => return Some(()),
            _ => return None,
        }
    }
}

/// The known key that a text starts with, and its index; `Some(None)` if it starts with another
/// key. No answer for keys that some readers take for a known one, or that could be spelt in
/// another way.
fn find(text: &[u8], known: &[&'static str]) -> Option<Option<(u8, &'static str)>> {
    let text = text.strip_prefix(b"\"")?;
    // Few keys start as a known one does, and then it does not matter how they go on.
    let first = text.first().filter(|first| first.is_ascii() && **first != b'\\')?;
    if !known.iter().any(|name| name.as_bytes().first().is_some_and(|letter| letter.eq_ignore_ascii_case(first))) {
        return Some(None);
    }
    let length = text.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0x80..))?;
    let (key, end) = text.split_at_checked(length)?;
    if !end.starts_with(b"\"") {
        return None;
    }
    let alike = (0..).zip(known.iter().copied()).find(|(_, name)| name.as_bytes().eq_ignore_ascii_case(key));
    match alike {
        Some((_, name)) if name.as_bytes() != key => None,
        found => Some(found),
    }
}

#[cfg(test)]
mod tests;
