//! Compiles the policy and the guard `baseline` ahead of time, so that what embeds them holds no compiler.

use std::error::Error;
use std::fmt::Write as _;
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

    let mut config = shared_settings();
    let baseline = for_baseline(&mut config, &target)?;
    let engine = wasmtime::Engine::new(&config).map_err(|error| format!("{error:?}"))?;
    let page = page_size(&target);
    let mut source = format!(
        "/// The largest size of a page.\n\
         pub(crate) const PAGE: usize = {page};\n\
         /// The oldest CPUs that the code runs on.\n\
         pub(crate) const CPU_BASELINE: &str = \"{baseline}\";\n\
         /// Whole pages, which hold nothing else.\n\
         #[repr(C, align({page}))]\n\
         struct Pages<const LENGTH: usize>([u8; LENGTH]);\n",
    );
    for (name, component) in
        [("POLICY", dunnage_policy_artifact::COMPONENT), ("BASELINE", dunnage_policy_artifact::BASELINE)]
    {
        let stripped = without_post_returns(component)?;
        let mut code = engine.precompile_component(&stripped).map_err(|error| format!("{error:?}"))?;
        code.resize(code.len().next_multiple_of(page), 0);
        let file = format!("{}.cwasm", name.to_lowercase());
        std::fs::write(out.join(&file), &code)?;
        writeln!(
            source,
            "static {name}_PAGES: Pages<{length}> = Pages(*include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\")));\n\
             /// Compiled from a component that had post-returns.\n\
             pub(crate) static {name}: Embedded = Embedded {{\n\
                 code: &{name}_PAGES.0,\n\
                 digest: \"sha256:{digest}\",\n\
                 compiled_digest: \"sha256:{compiled}\",\n\
                 taken: AtomicBool::new(false),\n\
             }};",
            length = code.len(),
            digest = digest_of(component),
            compiled = digest_of(&stripped),
        )?;
    }
    std::fs::write(out.join("embedded.rs"), source)?;
    Ok(())
}

fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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
