//! `recover`: what crashes and reboots leave is found and removed, and nothing else ever is.

mod leftovers;
mod pairs;
mod reboot;

use dunnage_tests::binary::Outcome;
use dunnage_tests::{Scratch, run, specs};
use serde_json::Value;

fn create(scratch: &Scratch, id: &str) -> Outcome {
    let mut command = scratch.command(["create", id, "--spec"]);
    run(command.arg(specs::data("plain.json")), []).expect(0)
}

fn recover(scratch: &Scratch, more: &[&str]) -> Outcome {
    scratch.run(["recover", "-o", "json"].iter().chain(more))
}

/// The findings, as `KIND FATE NAME`.
fn found(outcome: &Outcome) -> Vec<String> {
    let report = outcome.json();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let findings = report["findings"].as_array().expect("findings").iter();
    findings
        .map(|finding| {
            let path = text(&finding["path"]);
            let name = path.rsplit('/').next().expect("a name");
            format!("{} {} {name}", text(&finding["kind"]), text(&finding["fate"]))
        })
        .collect()
}
