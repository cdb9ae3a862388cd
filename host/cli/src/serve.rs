//! This program as a shim: called `containerd-shim`, with the arguments of containerd's.

use std::ffi::OsString;
use std::process::ExitCode;

use dunnage::shim::{ServeOptions, serve};
use tokio::signal::unix::{SignalKind, signal};

use super::failure::{report, usage};
use super::output::Output;
use super::shim::block_on;

/// Serves until it is told to end. Its container keeps running then.
pub(super) fn main() -> ExitCode {
    let served = options(std::env::args_os().skip(1)).and_then(|options| {
        block_on(async {
            let mut asked = signal(SignalKind::terminate())?;
            tokio::select! {
                served = serve(options) => Ok(served?),
                _ = asked.recv() => Ok(()),
            }
        })
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error, Output::Table),
    }
}

/// Reads arguments as Go's package `flag` does: one dash, the value in the next argument.
fn options(mut arguments: impl Iterator<Item = OsString>) -> anyhow::Result<ServeOptions> {
    let mut options = ServeOptions::default();
    options.state = std::env::var_os("DUNNAGE_STATE")
        .filter(|state| !state.is_empty())
        .unwrap_or_else(|| dunnage::DEFAULT_STATE.into())
        .into();
    while let Some(argument) = arguments.next() {
        let flag = argument.to_string_lossy().into_owned();
        let mut value = || arguments.next().ok_or_else(|| usage(format!("{flag} needs a value")));
        match flag.as_str() {
            "-namespace" => options.namespace = value()?.to_string_lossy().into_owned(),
            "-workdir" => options.work_dir = value()?.into(),
            "-runtime-root" => options.runtime_root = value()?.into(),
            "-systemd-cgroup" => options.systemd_cgroup = true,
            // Events are recorded directly, and only errors are logged.
            "-address" | "-containerd-binary" => drop(value()?),
            "-debug" => {}
            flag => return Err(usage(format!("unknown option {flag} of a shim"))),
        }
    }
    if options.namespace.is_empty() {
        return Err(usage("a shim needs -namespace"));
    }
    Ok(options)
}
