//! Compiles the policy ahead of time, so that what embeds it holds no compiler.

use std::error::Error;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use wasm_encoder::reencode::{self, Reencode, ReencodeComponent, component_utils};
use wasm_encoder::{CanonicalFunctionSection, Component};
use wasmparser::{CanonicalFunction, CanonicalOption, Parser};

include!("src/engine/settings.rs");

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/engine/settings.rs");
    let target = std::env::var("TARGET")?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let component = dunnage_policy_artifact::COMPONENT;

    let mut config = shared_settings();
    let baseline = for_baseline(&mut config, &target)?;
    let engine = wasmtime::Engine::new(&config).map_err(|error| format!("{error:?}"))?;
    let stripped = without_post_returns(component)?;
    let mut code = engine.precompile_component(&stripped).map_err(|error| format!("{error:?}"))?;
    let page = page_size(&target);
    code.resize(code.len().next_multiple_of(page), 0);
    std::fs::write(out.join("policy.cwasm"), &code)?;

    let digest_of = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    std::fs::write(
        out.join("policy.rs"),
        format!(
            "/// The largest size of a page.\n\
             const PAGE: usize = {page};\n\
             /// Whole pages, which hold nothing else.\n\
             #[repr(C, align({page}))]\n\
             struct Pages([u8; {length}]);\n\
             /// The shipped policy, compiled.\n\
             static POLICY_CODE: Pages = Pages(*include_bytes!(concat!(env!(\"OUT_DIR\"), \"/policy.cwasm\")));\n\
             /// The digest of the component, before its post-returns were left out.\n\
             const POLICY_DIGEST: &str = \"sha256:{digest}\";\n\
             /// The digest of what was compiled.\n\
             const POLICY_COMPILED_DIGEST: &str = \"sha256:{compiled}\";\n\
             /// The oldest CPUs it runs on.\n\
             const POLICY_BASELINE: &str = \"{baseline}\";\n",
            length = code.len(),
            digest = digest_of(component),
            compiled = digest_of(&stripped),
        ),
    )?;
    Ok(())
}

/// Names the CPUs that the code must run on. Without this the compiler would take the features of
/// the machine that builds, and the binary would not start on an older node.
fn for_baseline(config: &mut wasmtime::Config, target: &str) -> Result<String, Box<dyn Error>> {
    config.target(target).map_err(|error| format!("{error:?}"))?;
    let (name, features): (&str, &[&str]) = match target.split('-').next() {
        Some("x86_64") => {
            ("x86-64-v2", &["has_cmpxchg16b", "has_popcnt", "has_sse3", "has_ssse3", "has_sse41", "has_sse42"])
        }
        Some("aarch64") => ("armv8-a", &[]),
        _ => ("the target's own baseline", &[]),
    };
    for feature in features {
        // SAFETY: these flags only say which instructions the code may use; wasmtime checks them
        // against the machine when it loads the code.
        #[expect(unsafe_code, reason = "there is no safe way to name a CPU feature")]
        unsafe {
            config.cranelift_flag_enable(feature)
        };
    }
    Ok(format!("{name} ({target})"))
}

/// Leaves out the post-returns, with which a guest frees its answers. An instance is dropped after
/// its one call, and wasmtime would look all of them up whenever it makes one: a twentieth of a
/// decision on a spec of usual size.
fn without_post_returns(component: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    struct Strip;

    impl Reencode for Strip {
        type Error = std::convert::Infallible;
    }

    impl ReencodeComponent for Strip {
        fn parse_component_canonical(
            &mut self,
            section: &mut CanonicalFunctionSection,
            mut function: CanonicalFunction,
        ) -> Result<(), reencode::Error<Self::Error>> {
            if let CanonicalFunction::Lift { options, .. } = &mut function {
                let kept = |option: &&CanonicalOption| !matches!(option, CanonicalOption::PostReturn(_));
                *options = options.iter().filter(kept).copied().collect();
            }
            component_utils::parse_component_canonical(self, section, function)
        }
    }

    let mut stripped = Component::new();
    Strip.parse_component(&mut stripped, Parser::new(0), component)?;
    Ok(stripped.finish())
}

/// The largest page size of kernels for a target; its linkers align segments to it.
fn page_size(target: &str) -> usize {
    if target.starts_with("x86_64-") { 4 << 10 } else { 64 << 10 }
}
