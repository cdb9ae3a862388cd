//! Builds the components, or takes the bytes that the package brings.

#[path = "src/component.rs"]
pub mod component;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the components are built from.
const SOURCES: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "guest/Cargo.toml",
    "guest/src",
    "guest/baseline",
    "guest/go-json",
    "guest/guard",
    "guest/runtime",
    "wit",
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // As text: the errors of a whole build may be in it.
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/component.rs");
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    for (package, memory, file) in [
        ("dunnage-policy", component::POLICY_MEMORY, "policy.wasm"),
        ("dunnage-baseline", component::GUARD_MEMORY, "baseline.wasm"),
    ] {
        let component = match workspace(&here) {
            Some(workspace) => {
                for source in SOURCES {
                    println!("cargo::rerun-if-changed={}", workspace.join(source).display());
                }
                component::build(workspace, package, memory, &out)?
            }
            // Outside the repository there is no guest to build.
            None => {
                let brought = here.join(file);
                println!("cargo::rerun-if-changed={}", brought.display());
                brought
            }
        };
        std::fs::copy(&component, out.join(file))
            .map_err(|error| format!("cannot take the component from {}: {error}", component.display()))?;
    }
    Ok(())
}

/// The repository, if this crate lies in it.
fn workspace(here: &Path) -> Option<&Path> {
    here.ancestors().nth(2).filter(|top| top.join("guest/src/lib.rs").is_file() && top.join("wit/world.wit").is_file())
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}"))
}
