//! Builds the policy of `tests/policies` and compiles it ahead of time, as `host/sandbox/build.rs` does with
//! the one that ships: a compiler inside the fuzz target would be instrumented too.

use std::error::Error;
use std::path::PathBuf;

use dunnage_policy_artifact::component;

include!("../sandbox/src/engine/settings.rs");

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?);
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let repository = here.ancestors().nth(2).ok_or("host/fuzz lies in the repository")?;
    for source in ["Cargo.toml", "Cargo.lock", "host/sandbox/src/engine/settings.rs", "tests/policies", "wit"] {
        println!("cargo::rerun-if-changed={}", repository.join(source).display());
    }
    let component = component::build(repository, "dunnage-test-policies", component::POLICY_MEMORY, &out)?;

    let mut config = shared_settings();
    config.target(&std::env::var("TARGET")?).map_err(|error| format!("{error:?}"))?;
    let engine = wasmtime::Engine::new(&config).map_err(|error| format!("{error:?}"))?;
    let code = engine.precompile_component(&std::fs::read(component)?).map_err(|error| format!("{error:?}"))?;
    std::fs::write(out.join("script.cwasm"), code)?;
    Ok(())
}
