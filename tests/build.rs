//! Builds the policy that misbehaves.

use std::path::{Path, PathBuf};

fn main() -> Result<(), String> {
    let here = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").map_err(|error| error.to_string())?);
    let out = std::env::var("OUT_DIR").map_err(|error| error.to_string())?;
    let workspace = here.parent().ok_or("tests/ lies in the repository")?;
    for source in ["Cargo.toml", "Cargo.lock", "guest/src/runtime/abi.rs", "tests/build.rs", "tests/policies", "wit"] {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let component = dunnage_policy_artifact::component::build(workspace, "dunnage-test-policies", Path::new(&out))?;
    println!("cargo::rustc-env=DUNNAGE_HOSTILE_POLICY={}", component.display());
    Ok(())
}
