//! The command line as DESIGN.md has it: scripts and checks depend on it.

mod daily;
mod errors;
mod guards;
mod options;
mod results;
mod streams;

use dunnage_tests::binary::Outcome;
use dunnage_tests::{Scratch, specs};
use serde_json::Value;

/// The path of a spec in `tests/data`, as text.
fn spec(name: &str) -> String {
    specs::data(name).to_str().expect("a path of text").to_owned()
}

/// Creates a bundle of the plain spec.
fn create(scratch: &Scratch, id: &str) -> Outcome {
    scratch.run(["create", id, "--spec", &spec("plain.json"), "-o", "json"]).expect(0)
}

/// The names of an object's members, in the order in which they stand in the text.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// The names of an object's members, sorted.
fn sorted<const N: usize>(mut keys: [&str; N]) -> Vec<&str> {
    keys.sort_unstable();
    keys.to_vec()
}
