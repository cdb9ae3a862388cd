//! Writes the component to a file: `cargo run -p dunnage-policy-artifact --example write -- FILE`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: write FILE");
        return ExitCode::from(2);
    };
    match std::fs::write(&path, dunnage_policy_artifact::COMPONENT) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
