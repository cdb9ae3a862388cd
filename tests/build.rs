//! Builds the policy that misbehaves, and finds out which tests can run here.

use std::path::{Path, PathBuf};

use dunnage_policy_artifact::component;

#[path = "support/present.rs"]
mod present;

fn main() -> Result<(), String> {
    let here = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").map_err(|error| error.to_string())?);
    let out = std::env::var("OUT_DIR").map_err(|error| error.to_string())?;
    let workspace = here.parent().ok_or("tests/ lies in the repository")?;
    for source in ["Cargo.toml", "Cargo.lock", "guest/runtime", "tests/build.rs", "tests/policies", "wit"] {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let component = component::build(workspace, "dunnage-test-policies", component::POLICY_MEMORY, Path::new(&out))?;
    println!("cargo::rustc-env=DUNNAGE_HOSTILE_POLICY={}", component.display());
    mark_possible_tests();
    Ok(())
}

/// Tests of what this machine lacks are marked as ignored, unless it was promised.
fn mark_possible_tests() {
    // With another user these change.
    for variable in ["CI", "HOME", "PATH", "USER"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let root = present::is_root();
    for (name, possible) in [
        ("has_root", root),
        ("has_containers", root && present::missing_programs().is_empty()),
        ("has_strace", present::can_trace()),
    ] {
        println!("cargo::rustc-check-cfg=cfg({name})");
        if possible || present::promised() {
            println!("cargo::rustc-cfg={name}");
        } else {
            // Cargo asks again every time while a file does not exist: it may have been installed.
            println!("cargo::rerun-if-changed=missing");
        }
    }
}
