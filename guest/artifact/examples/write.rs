//! Writes a component to a file, the policy or, with a second argument, the guard:
//! `cargo run -p dunnage-policy-artifact --example write -- FILE [baseline]`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: write FILE [baseline]");
        return ExitCode::from(2);
    };
    let is_guard = std::env::args_os().nth(2).is_some_and(|name| name == "baseline");
    let component = if is_guard { dunnage_policy_artifact::BASELINE } else { dunnage_policy_artifact::COMPONENT };
    match std::fs::write(&path, component) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
