//! Bad input of every kind, through the binary: each has its own clear message and exit code,
//! nothing outside the bundle changes, nothing is left behind, nothing hangs and nothing panics.

mod identifiers;
mod places;
mod planted;
mod records;
mod spec;

use std::process::Command;

use dunnage_tests::{Outcome, Scratch, run, specs};

/// The path of a good spec.
fn good() -> String {
    specs::data("plain.json").to_str().expect("a path of text").to_owned()
}

/// What every failure must look like.
#[track_caller]
fn check_form(outcome: &Outcome, code: i32, words: &[&str]) {
    // `None` would be a signal: a crash, or a command that hung until it was killed.
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    assert!(outcome.stderr.starts_with("dunnage: "), "{outcome:?}");
    assert!(!outcome.stderr.contains("panicked") && !outcome.stderr.contains("backtrace"), "{outcome:?}");
    let message = outcome.stderr.strip_suffix('\n').expect("a line");
    // Bad input must not act on a terminal, nor flood it.
    assert!(!message.contains(char::is_control), "{outcome:?}");
    assert!(message.len() < 1500, "{outcome:?}");
    for word in words {
        assert!(message.contains(word), "the message does not say {word:?}: {outcome:?}");
    }
}

/// Runs a command that must fail with this code and a message with these words, and to change
/// nothing at all.
#[track_caller]
fn refuse(scratch: &Scratch, command: &mut Command, stdin: &[u8], code: i32, words: &[&str]) {
    let before = scratch.tree();
    let outcome = run(command, stdin);
    check_form(&outcome, code, words);
    assert_eq!(outcome.stdout, "", "{outcome:?}");
    assert_eq!(scratch.tree(), before, "{outcome:?}");
}
