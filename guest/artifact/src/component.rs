//! Building a component for `wasm32-wasip2` from within a build script.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target of components.
const TARGET: &str = "wasm32-wasip2";

/// How large the memory of a component is, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct MemorySize {
    /// The stack, which is part of it.
    pub stack: u32,
    /// What it starts with: whole pages of 64 KiB.
    pub initial: u32,
}

/// Stack, data, and room for a usual spec, in a single page: the host clears all of it after each call.
/// No policy needs more than 6 KiB of stack; what is nested is not read by recursion.
pub const POLICY_MEMORY: MemorySize = MemorySize { stack: 16 << 10, initial: 64 << 10 };
/// Guards read into types of their own, whose fields lie on the stack.
pub const GUARD_MEMORY: MemorySize = MemorySize { stack: 64 << 10, initial: 128 << 10 };

/// Builds a library of a workspace as a component and returns the path of its bytes.
///
/// This runs a cargo inside a cargo, so it has a target directory of its own (the outer one is
/// locked) and a clean environment (the outer one's flags and wrappers are for another target).
/// The bytes hold no path of the machine, so that the same sources and the same compiler give the same digest anywhere.
///
/// # Errors
///
/// If the target is missing and cannot be installed, or the build fails; the message says what to
/// type.
pub fn build(workspace: &Path, package: &str, memory: MemorySize, out: &Path) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    require_target()?;
    let target_dir = out.join("component");
    let mut command = Command::new(&cargo);
    clean_environment(&mut command);
    command
        .current_dir(workspace)
        .args(["rustc", "--locked", "--profile", "policy", "--target", TARGET, "--lib", "--crate-type", "cdylib"])
        .args(["--package", package])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(workspace, memory)?);
    let output = command.output().map_err(|error| format!("cannot run {}: {error}", cargo.display()))?;
    if !output.status.success() {
        return Err(format!("building the component {package} failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let file = format!("{}.wasm", package.replace('-', "_"));
    Ok(target_dir.join(TARGET).join("policy").join(file))
}

/// Removes what the outer cargo has set, since it is about another build. What says where things
/// are, and how to reach the registry, stays.
fn clean_environment(command: &mut Command) {
    const KEPT: [&str; 5] = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_"];
    const TAKEN: [&str; 14] = [
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "RUSTC",
        "RUSTDOC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_LINKER",
        "TARGET",
        "HOST",
        "PROFILE",
        "OPT_LEVEL",
        "DEBUG",
        "CLIPPY_ARGS",
        "CLIPPY_CONF_DIR",
    ];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let of_cargo = text == "CARGO" || text.starts_with("CARGO_");
        if (of_cargo && !KEPT.iter().any(|kept| text.starts_with(kept))) || TAKEN.contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
}

/// Compiler flags that keep the machine's paths out of the component, make its memory small, and let
/// it use vectors.
fn flags(workspace: &Path, memory: MemorySize) -> Result<OsString, String> {
    let sysroot = OsString::from(ask_rustc(&["--print", "sysroot"])?);
    let cargo_home = std::env::var_os("CARGO_HOME")
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo").into_os_string()));
    let mut flags = OsString::from(format!("-Clink-arg=-zstack-size={}", memory.stack));
    let mut add = |parts: &[&OsStr]| {
        // How `CARGO_ENCODED_RUSTFLAGS` separates flags, which may contain spaces.
        flags.push("\u{1f}");
        parts.iter().for_each(|part| flags.push(part));
    };
    add(&[OsStr::new(&format!("-Clink-arg=--initial-memory={}", memory.initial))]);
    add(&[OsStr::new("-Ctarget-feature=+simd128")]);
    let workspace = workspace.as_os_str();
    let paths = [(cargo_home.as_deref(), "/cargo"), (Some(&*sysroot), "/rust"), (Some(workspace), "/dunnage")];
    for (from, to) in paths {
        if let Some(from) = from {
            add(&["--remap-path-prefix=".as_ref(), from, "=".as_ref(), to.as_ref()]);
        }
    }
    Ok(flags)
}

/// Makes sure that the target's library is there. `rust-toolchain.toml` asks for it, but rustup
/// may have been told not to install anything by itself.
fn require_target() -> Result<(), String> {
    let advice = format!("the target {TARGET} is missing: type `rustup target add {TARGET}`");
    if is_installed()? {
        return Ok(());
    }
    println!("cargo::warning=installing the target {TARGET} with rustup");
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]);
    match rustup.output() {
        Ok(output) if output.status.success() && is_installed()? => Ok(()),
        Ok(output) => Err(format!("{advice}\n{}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("{advice} (rustup cannot be run: {error})")),
    }
}

fn is_installed() -> Result<bool, String> {
    Ok(Path::new(&ask_rustc(&["--print", "target-libdir", "--target", TARGET])?).is_dir())
}

fn ask_rustc(arguments: &[&str]) -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .args(arguments)
        .output()
        .map_err(|error| format!("cannot run {}: {error}", rustc.display()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        let why = String::from_utf8_lossy(&output.stderr);
        Err(format!("{} {} failed: {why}", rustc.display(), arguments.join(" ")))
    }
}
