//! `shim address`, `shim connect-address`, `shim config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use dunnage::{RuncOptions, ShimOptions};
use serde::Serialize;

use super::confine::{Needs, confine};
use super::global::Global;
use super::output::pairs;

/// Addresses and settings of shims
#[derive(Subcommand)]
pub(super) enum Shim {
    Address(Address),
    ConnectAddress(ConnectAddress),
    Config(Config),
}

/// Show the address that the shim of a bundle has to have
#[derive(Args)]
#[command(after_help = "Example:\n  dunnage shim address web-1")]
pub(super) struct Address {
    /// Id of the container
    id: String,
    /// The abstract address of old containerd versions instead
    #[arg(long)]
    legacy: bool,
}

/// Show the address to connect to: the one on file
#[derive(Args)]
#[command(after_help = "Exit code 5 means that none is on file.\n\nExample:\n  dunnage shim connect-address web-1")]
pub(super) struct ConnectAddress {
    /// Id of the container
    id: String,
    /// Fall back to the abstract address of old containerd versions, which anybody could hold
    #[arg(long)]
    allow_legacy: bool,
}

/// Show how the shim of a bundle is to be set up
#[derive(Args)]
#[command(after_help = "Example:\n  dunnage shim config web-1 --runtime-root /run/runc -o json")]
pub(super) struct Config {
    /// Id of the container
    id: String,
    /// Where runc keeps its state on this node
    #[arg(long, value_name = "DIR", default_value = "")]
    runtime_root: String,
    /// Where runc keeps the state of this container; wins if not empty
    #[arg(long, value_name = "DIR")]
    runc_runtime_root: Option<String>,
    /// Let systemd manage the container's cgroup
    #[arg(long)]
    systemd_cgroup: bool,
}

#[derive(Serialize)]
struct Answer {
    address: String,
}

impl Shim {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Address(command) => command.run(global),
            Self::ConnectAddress(command) => command.run(global),
            Self::Config(command) => command.run(global),
        }
    }
}

impl Address {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        confine(global, Needs::Nothing);
        let (dunnage, id) = (global.dunnage(1)?, global.id(&self.id));
        let address = if self.legacy { dunnage.legacy_shim_address(&id)? } else { dunnage.shim_address(&id)? };
        Ok(global.output.print(&Answer { address }, |answer| answer.address.clone())?)
    }
}

impl ConnectAddress {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        confine(global, Needs::Reading);
        let endpoint = global.dunnage(1)?.connect_address(&global.id(&self.id), self.allow_legacy)?;
        Ok(global.output.print(&Answer { address: endpoint.address }, |answer| answer.address.clone())?)
    }
}

impl Config {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Shown {
            path: PathBuf,
            work_dir: PathBuf,
            namespace: String,
            runtime_root: String,
            systemd_cgroup: bool,
        }
        confine(global, Needs::Nothing);
        let dunnage = global.dunnage(1)?;
        let bundle = dunnage.locate(&global.id(&self.id))?;
        let runc = (self.runc_runtime_root.is_some() || self.systemd_cgroup).then(|| RuncOptions {
            runtime_root: self.runc_runtime_root.unwrap_or_default(),
            systemd_cgroup: self.systemd_cgroup,
        });
        let config = dunnage.shim_config(&bundle, &ShimOptions { runtime_root: self.runtime_root, runc })?;
        let shown = Shown {
            path: config.path.into(),
            work_dir: config.work_dir.into(),
            namespace: config.namespace,
            runtime_root: config.runtime_root,
            systemd_cgroup: config.systemd_cgroup,
        };
        let printed = global.output.print(&shown, |shown| {
            pairs(&[
                ("path", shown.path.display().to_string()),
                ("work dir", shown.work_dir.display().to_string()),
                ("namespace", shown.namespace.clone()),
                ("runtime root", shown.runtime_root.clone()),
                ("systemd cgroup", shown.systemd_cgroup.to_string()),
            ])
        });
        Ok(printed?)
    }
}
