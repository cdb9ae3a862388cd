//! The guard that Dunnage ships: the profiles *baseline* and *restricted* of Kubernetes' Pod Security
//! Standards, read off OCI specs.
//!
//! The standards speak of pods; an OCI spec says what came of one. So what engines add to every
//! container (their default capabilities, mounts and masked paths) passes, and what only a pod with
//! privileges gets does not.
//!
//! Built for `wasm32-wasip2` it is a component of the world `dunnage:guard/guard@0.1.0` that imports
//! nothing of WASI.

#![no_std]

extern crate alloc;

mod path;
mod rules;
mod settings;

use alloc::string::String;

use dunnage_guard::oci::Process;
use dunnage_guard::{Guard, Operation, Request, Verdict, allow};

pub use self::settings::{Profile, Rule, Settings, Switch};

/// The guard.
#[derive(Debug)]
pub struct Baseline;

impl Guard for Baseline {
    type Settings = Settings;

    const NAME: &'static str = "baseline";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const READS: &'static [&'static str] = &[
        "/process/apparmorProfile",
        "/process/capabilities",
        "/process/noNewPrivileges",
        "/process/selinuxLabel",
        "/process/user",
        "/root",
        "/annotations",
        "/hooks",
        "/mounts",
        "/linux",
    ];
    const OPERATIONS: &'static [Operation] =
        &[Operation::Create, Operation::Exec, Operation::Update, Operation::Restore];

    fn check(settings: &Settings) -> Result<(), String> {
        settings.check()
    }

    fn review(request: &Request, settings: &Settings) -> Verdict {
        match request.operation {
            Operation::Create | Operation::Restore => {
                let spec = request.spec()?;
                rules::check_spec(&spec, settings)?;
                rules::check_process(spec.process.as_ref().unwrap_or(&Process::default()), "/process", settings)?;
                rules::check_resources(&spec.linux.resources, "/linux/resources", settings)?;
            }
            // As strict as for the container itself: an exec can ask for more than that has.
            Operation::Exec => rules::check_process(&request.process()?.unwrap_or_default(), "", settings)?,
            Operation::Update => rules::check_resources(&request.resources()?, "", settings)?,
        }
        allow()
    }
}

dunnage_guard::export!(Baseline);

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;
