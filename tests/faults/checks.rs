//! What must hold whatever the command was: what a message says, and what may be left.

use std::collections::BTreeMap;

use dunnage_tests::Outcome;

use crate::calls;

/// Fails a point.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}
pub(crate) use ensure;

/// Everything in a directory by its path, as [`dunnage_tests::Scratch::tree`] reports it.
pub(crate) type Tree = BTreeMap<String, String>;

/// A tree by its paths, without the records that last.
pub(crate) fn by_path(lines: Vec<String>) -> Tree {
    let lasting = |path: &str| {
        let base = path.strip_prefix("state/").or_else(|| path.strip_prefix("root/")).unwrap_or(path);
        let shims = base.strip_prefix(".dunnage/shims/").is_some_and(|shim| shim.contains('/'));
        base.starts_with(".dunnage") && !shims
    };
    let pairs = lines.into_iter().map(|line| {
        let (path, rest) = line.split_once(' ').expect("a path without spaces");
        (path.to_owned(), rest.to_owned())
    });
    pairs.filter(|(path, _)| !lasting(path)).collect()
}

/// What one tree has and another lacks or has differently: topmost paths only.
pub(crate) fn added(before: &Tree, after: &Tree) -> Vec<String> {
    let new: Vec<_> =
        after.iter().filter(|(path, what)| before.get(*path) != Some(what)).map(|(path, _)| path).collect();
    let below = |path: &str, top: &str| path.strip_prefix(top).is_some_and(|rest| rest.starts_with('/'));
    let topmost = |path: &&&String| !new.iter().any(|top| !before.contains_key(*top) && below(path, top));
    new.iter().filter(topmost).map(|path| (*path).clone()).collect()
}

/// The part of a tree at and below some places.
pub(crate) fn part(tree: &Tree, tops: &[&str]) -> Tree {
    let within = |path: &str| {
        tops.iter().any(|top| path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    };
    tree.iter().filter(|(path, _)| within(path)).map(|(path, what)| (path.clone(), what.clone())).collect()
}

/// A failed command says `dunnage: <what failed>: <step>: <cause>`, and ends with an exit code of
/// the contract.
pub(crate) fn message(outcome: &Outcome, codes: &[i32], error: Option<&str>) -> Result<(), String> {
    ensure!(outcome.code.is_some_and(|code| codes.contains(&code)), "exit code {:?}", outcome.code);
    let Some(line) = line_of(outcome) else { return Err("no message".to_owned()) };
    let mut parts = line.splitn(4, ": ").skip(1);
    let (what, step, cause) = (parts.next(), parts.next(), parts.next());
    ensure!(what.is_some_and(|what| !what.is_empty()), "the message does not say what failed");
    ensure!(
        step.is_some_and(|step| step.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')),
        "the message names no step"
    );
    ensure!(cause.is_some_and(|cause| !cause.is_empty()), "the message names no cause");
    if let Some(error) = error {
        ensure!(calls::is_named(error, &outcome.stderr), "the message does not name {error}");
    }
    ensure!(!outcome.stderr.contains("panicked"), "a panic");
    Ok(())
}

/// The message, whether it was asked for as text or as JSON.
fn line_of(outcome: &Outcome) -> Option<String> {
    outcome.stderr.lines().find_map(|line| {
        let json = serde_json::from_str(line).ok().and_then(|json: serde_json::Value| {
            json["error"]["message"].as_str().map(|message| format!("dunnage: {message}"))
        });
        json.or_else(|| line.starts_with("dunnage: ").then(|| line.to_owned()))
    })
}

/// At most one thing is left, which the message names: hidden, or the work directory of a bundle
/// that is not there.
pub(crate) fn one_named_leftover(left: &[String], outcome: &Outcome) -> Result<(), String> {
    ensure!(left.len() <= 1, "more than one thing is left: {left:?}");
    for path in left {
        let name = path.rsplit('/').next().unwrap_or(path);
        ensure!(name.starts_with('.') || path.starts_with("root/"), "{path} is left for all to see");
        ensure!(outcome.stderr.contains(path.as_str()), "{path} is left and not named");
    }
    Ok(())
}
