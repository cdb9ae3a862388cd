//! The policy: loading it, checking what it is, and calling it.

mod answers;
mod calls;
mod exports;
mod report;

use std::path::{Path, PathBuf};

use dunnage_core::{Error, ErrorKind, GroupRanges, Limits, Result, Step};
use wasmtime::InstanceAllocationStrategy;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

pub(crate) use self::answers::broken;
use self::exports::Exports;
pub use self::report::PolicyReport;
use crate::engine::{Clear, GuestFault, Sandbox, pool};
use crate::filesystem::{self, Context};
use crate::{bindings, embedded};

/// The interface that a policy may import, and those that it must export.
const IMPORTS: [&str; 1] = [filesystem::INTERFACE];
const EXPORTS: [&str; 2] = ["dunnage:bundle/bundles@0.1.0", "dunnage:bundle/shims@0.1.0"];
/// The one that it may export.
const TASKS: &str = "dunnage:bundle/tasks@0.1.0";

/// Which policy decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicySource {
    /// The one this crate ships: compiled while the crate was built.
    #[default]
    Shipped,
    /// A component in a file, if the SHA-256 of its bytes is this one. Needs a build with the
    /// feature `policy-file`, which brings a compiler.
    File {
        /// Where it is: WebAssembly in binary form.
        path: PathBuf,
        /// Its digest, as `sha256:` and 64 hex digits.
        digest: String,
    },
}

/// Which policy decides, what it may use, and what it learns of the node.
#[derive(Clone, Debug)]
pub struct PolicyConfig {
    /// Which policy decides.
    pub source: PolicySource,
    /// What each of its calls may use.
    pub limits: Limits,
    /// The groups that bundles may be given to.
    pub groups: GroupRanges,
    /// Whether what it asks to be written is written through to the disk.
    pub durable: bool,
    /// Whether its instances come from a pool. A policy from a file has one in any case.
    pub pool: bool,
    /// The daemon address that is hashed into the addresses of shims; may be empty.
    pub daemon_address: String,
    /// The directory of the shims' sockets.
    pub socket_root: PathBuf,
}

/// A policy that is ready to be called, from many threads at once.
pub struct Policy {
    sandbox: Sandbox,
    instance: InstancePre<Context>,
    exports: Exports,
    component: Component,
    config: PolicyConfig,
    digest: String,
}

impl Policy {
    /// Loads the policy that is asked for.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PolicyRejected`] if it cannot be used, [`ErrorKind::InvalidConfig`] if a limit
    /// is invalid.
    pub fn load(config: PolicyConfig) -> Result<Self> {
        let (sandbox, component, digest) = match &config.source {
            PolicySource::Shipped => {
                // What this policy is made of is known; what it may grow to is limited in any case.
                let on_demand = InstanceAllocationStrategy::OnDemand;
                let instances = if config.pool { pool(&config.limits, Clear::All) } else { on_demand };
                let (sandbox, component) = embedded::POLICY.load(&config.limits, instances)?;
                (sandbox, component.map_err(rejected)?, embedded::POLICY.digest.to_owned())
            }
            PolicySource::File { path, digest } => {
                let sandbox = Sandbox::pooled(&config.limits)?;
                let component = from_file(&sandbox, path, digest)?;
                (sandbox, component, digest.to_ascii_lowercase())
            }
        };
        Self::link(config, sandbox, component, digest)
    }

    /// A policy whose code was compiled elsewhere, for the fuzz targets: an instrumented compiler
    /// would take minutes.
    ///
    /// # Errors
    ///
    /// As for [`Policy::load`].
    ///
    /// # Safety
    ///
    /// The code must come from this version of wasmtime, with the settings of `engine/settings.rs`.
    #[cfg(fuzzing)]
    #[expect(unsafe_code, reason = "wasmtime trusts compiled code blindly")]
    pub unsafe fn from_code(config: PolicyConfig, code: &[u8]) -> Result<Self> {
        let sandbox = Sandbox::pooled(&config.limits)?;
        // SAFETY: the caller's promise is passed on.
        let component = unsafe { Component::deserialize(sandbox.engine(), code) };
        let component = component.map_err(|error| rejected(format!("the code does not load: {error:#}")))?;
        Self::link(config, sandbox, component, String::new())
    }

    /// What each of its calls may use.
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// Makes a policy of a component.
    fn link(config: PolicyConfig, sandbox: Sandbox, component: Component, digest: String) -> Result<Self> {
        check_world(&sandbox, &component)?;
        let mut linker = Linker::new(sandbox.engine());
        let unfit = |why: String| rejected(format!("the component does not fit the world `policy`: {why}"));
        let instance = bindings::PolicyWithTasks::add_to_linker::<_, HasSelf<Context>>(&mut linker, |context| context)
            .and_then(|()| filesystem::lend_bytes(&mut linker))
            .and_then(|()| linker.instantiate_pre(&component))
            .map_err(|error| unfit(format!("{error:#}")))?;
        let exports = Exports::find(&component).map_err(unfit)?;
        Ok(Self { sandbox, instance, exports, component, config, digest })
    }
}

fn rejected(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::PolicyRejected, Step::LoadPolicy, message)
}

#[cfg(not(feature = "policy-file"))]
fn from_file(_: &Sandbox, path: &Path, _: &str) -> Result<Component> {
    Err(no_compiler(path))
}

#[cfg(not(feature = "policy-file"))]
fn no_compiler(path: &Path) -> Error {
    let shown = path.display();
    rejected(format!("cannot load {shown}: this build has no compiler; build it with the cargo feature `policy-file`"))
        .at(path)
}

#[cfg(feature = "policy-file")]
fn from_file(sandbox: &Sandbox, path: &Path, digest: &str) -> Result<Component> {
    let rejected = |message: String| rejected(message).at(path);
    let shown = path.display();
    let Some(wanted) = digest.strip_prefix("sha256:").filter(|hex| hex.len() == 64) else {
        return Err(rejected(format!("the digest {digest:?} is not `sha256:` followed by 64 hex digits")));
    };
    // The very bytes that are hashed are compiled; the file is not opened a second time.
    let bytes = read(path)?;
    let found = digest_of(&bytes);
    if !found.eq_ignore_ascii_case(wanted) {
        return Err(rejected(format!("wrong digest: {shown} has sha256:{found}, not {digest}")));
    }
    Component::from_binary(sandbox.engine(), &bytes)
        .map_err(|error| rejected(format!("{shown} is not a component that this version can run: {error:#}")))
}

#[cfg(feature = "policy-file")]
fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| rejected(format!("cannot read {}: {error}", path.display())).at(path))
}

#[cfg(feature = "policy-file")]
fn digest_of(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};

    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuses a component that is not a policy, and reports what it is instead.
fn check_world(sandbox: &Sandbox, component: &Component) -> Result<()> {
    let (imports, exports) = interfaces(sandbox, component);
    let foreign: Vec<_> = imports.iter().filter(|name| !IMPORTS.contains(&name.as_str())).cloned().collect();
    if !foreign.is_empty() {
        return Err(rejected(format!(
            "the component imports {}; a policy may only import {}",
            foreign.join(", "),
            IMPORTS.join(", ")
        )));
    }
    let missing: Vec<_> =
        EXPORTS.iter().filter(|name| !exports.iter().any(|export| export == *name)).copied().collect();
    if !missing.is_empty() {
        return Err(rejected(format!("wrong world: the component does not export {}", missing.join(", "))));
    }
    Ok(())
}

/// The names of what a component imports and exports.
fn interfaces(sandbox: &Sandbox, component: &Component) -> (Vec<String>, Vec<String>) {
    let kind = component.component_type();
    let imports = kind.imports(sandbox.engine()).map(|(name, _)| name.to_owned()).collect();
    let mut exports: Vec<_> = kind.exports(sandbox.engine()).map(|(name, _)| name.to_owned()).collect();
    exports.sort_unstable();
    (imports, exports)
}

/// What a call that did not return says about the policy, or about the host.
fn call_error(step: Step, error: wasmtime::Error) -> Error {
    let error = match error.downcast::<GuestFault>() {
        Ok(GuestFault::Host(error)) => return error,
        Ok(GuestFault::Limit(message)) => {
            return Error::new(ErrorKind::PolicyLimit, step, format!("the policy exceeded a limit: {message}"));
        }
        Ok(GuestFault::Rule(message)) => {
            return Error::new(ErrorKind::PolicyBroken, step, format!("the policy broke a rule: {message}"));
        }
        Err(error) => error,
    };
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::Interrupt) => {
            Error::new(ErrorKind::PolicyLimit, step, "the policy exceeded a limit: it took too long")
        }
        Some(trap) => Error::new(ErrorKind::PolicyTrapped, step, format!("the policy trapped: {trap}")),
        None => {
            // A cause of several lines is a trace of the stack, with names that the component gave.
            let causes = error.chain().map(ToString::to_string).filter(|cause| !cause.contains('\n'));
            let why = answers::printable(&causes.collect::<Vec<_>>().join(": "));
            Error::new(ErrorKind::PolicyTrapped, step, format!("the policy could not be run: {why}"))
        }
    }
}

impl PolicySource {
    /// The policy in a file, whatever its digest: to inspect it, not to trust it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PolicyRejected`] if the file cannot be read, or this build takes no policy
    /// from a file.
    #[cfg(feature = "policy-file")]
    pub fn file_unchecked(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let digest = format!("sha256:{}", digest_of(&read(&path)?));
        Ok(Self::File { path, digest })
    }

    /// Always fails: this build takes no policy from a file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PolicyRejected`], which names the missing feature.
    #[cfg(not(feature = "policy-file"))]
    pub fn file_unchecked(path: impl Into<PathBuf>) -> Result<Self> {
        Err(no_compiler(&path.into()))
    }
}
