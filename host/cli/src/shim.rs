//! `shim address`, `shim connect-address`, `shim config`, `shim start`, `shim info`, `shim stop`.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use dunnage::shim::{ConnectOptions, StartOptions, Stop as How};
use dunnage::{RuncOptions, ShimOptions};
use serde::Serialize;

use super::confine::{Profile, confine, confine_beside_broker, confine_beside_starter};
use super::failure::Failed;
use super::options::Global;
use super::output::pairs;

/// Start, query and stop shims; show their addresses and settings
#[derive(Subcommand)]
pub(super) enum ShimCommand {
    Address(Address),
    ConnectAddress(ConnectAddress),
    Config(Config),
    Start(Start),
    Info(Info),
    Stop(Stop),
}

/// Show the expected address of a bundle's shim
#[derive(Args)]
#[command(after_help = "Example:\n  dunnage shim address web-1")]
pub(super) struct Address {
    /// Id of the container
    id: String,
    /// Show the abstract address of old containerd versions instead
    #[arg(long)]
    legacy: bool,
}

/// Show the recorded address to connect to
#[derive(Args)]
#[command(
    after_help = "Exit code 5 means that no address is recorded.\n\nExample:\n  dunnage shim connect-address web-1"
)]
pub(super) struct ConnectAddress {
    /// Id of the container
    id: String,
    /// Fall back to the abstract address of old containerd versions, which any process could hold
    #[arg(long)]
    allow_legacy: bool,
}

/// Show the settings of a bundle's shim
#[derive(Args)]
#[command(after_help = "Example:\n  dunnage shim config web-1 --runtime-root /run/runc -o json")]
pub(super) struct Config {
    /// Id of the container
    id: String,
    #[command(flatten)]
    settings: Settings,
}

/// How runc is set up.
#[derive(Args)]
pub(super) struct Settings {
    /// Where runc keeps its state on this node [default: /run/containerd/runc, by the shim]
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    runtime_root: String,
    /// Where runc keeps the state of this container; takes precedence if not empty
    #[arg(long, value_name = "DIR")]
    runc_runtime_root: Option<String>,
    /// Let systemd manage the container's cgroup
    #[arg(long)]
    systemd_cgroup: bool,
}

impl Settings {
    fn options(self) -> ShimOptions {
        let runc = (self.runc_runtime_root.is_some() || self.systemd_cgroup).then(|| RuncOptions {
            runtime_root: self.runc_runtime_root.unwrap_or_default(),
            systemd_cgroup: self.systemd_cgroup,
        });
        ShimOptions { runtime_root: self.runtime_root, runc }
    }
}

/// How a shim is started.
#[derive(Args)]
pub(super) struct Starting {
    /// Binary of the shim, looked up in PATH
    #[arg(long, value_name = "FILE", default_value = "containerd-shim")]
    shim_binary: PathBuf,
    /// Existing cgroup for the shim, as a path below the hierarchies
    #[arg(long, value_name = "PATH")]
    cgroup: Option<String>,
    /// Make the shim log more
    #[arg(long)]
    debug: bool,
    /// Seconds to wait until the shim answers
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    #[command(flatten)]
    settings: Settings,
}

impl Starting {
    /// The options, with a monitor if the shim is to outlive this process.
    pub(super) fn options(self, outlive: bool) -> anyhow::Result<StartOptions> {
        let mut options = StartOptions::default();
        options.binary = self.shim_binary;
        options.monitor = outlive.then(std::env::current_exe).transpose()?;
        options.cgroup = self.cgroup;
        options.debug = self.debug;
        options.timeout = Duration::from_secs(self.timeout);
        options.settings = self.settings.options();
        Ok(options)
    }
}

/// Start the shim of a bundle; it keeps running after this command exits
#[derive(Args)]
#[command(after_help = "Example:\n  dunnage shim start web-1 -o json")]
pub(super) struct Start {
    /// Id of the container
    id: String,
    #[command(flatten)]
    start: Starting,
}

/// Show the shim of a bundle, if it answers
#[derive(Args)]
#[command(after_help = "Example:\n  dunnage shim info web-1 -o json")]
pub(super) struct Info {
    /// Id of the container
    id: String,
    #[command(flatten)]
    connect: Connecting,
}

/// Stop the shim of a bundle; its container keeps running
#[derive(Args)]
#[command(after_help = "Example:\n  dunnage shim stop web-1")]
pub(super) struct Stop {
    /// Id of the container
    id: String,
    /// Kill the shim (SIGKILL) instead of asking it to exit (SIGTERM)
    #[arg(long)]
    kill: bool,
    #[command(flatten)]
    connect: Connecting,
}

/// How a shim is connected to.
#[derive(Args)]
struct Connecting {
    /// Also accept an abstract address, which any process could hold
    #[arg(long)]
    allow_legacy: bool,
    /// Seconds to wait until the shim answers, or exits
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

impl Connecting {
    fn options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::default();
        options.allow_legacy = self.allow_legacy;
        options.timeout = Duration::from_secs(self.timeout);
        options
    }
}

#[derive(Serialize)]
struct ShimAddress {
    address: String,
}

/// A shim that answers.
#[derive(Serialize)]
struct Alive {
    pid: u32,
    address: String,
}

impl Alive {
    fn of(shim: &dunnage::shim::Shim) -> Self {
        Self { pid: shim.pid(), address: shim.address().to_owned() }
    }

    fn print(&self, global: &Global) -> Result<(), Failed> {
        let table = |alive: &Self| pairs(&[("pid", alive.pid.to_string()), ("address", alive.address.clone())]);
        global.output.print(self, table)
    }
}

/// Runs an async task on one thread. What still waits at the end, such as a read from standard
/// input, is left behind.
///
/// The runtime panics where it gets no descriptors for its signals, so some must be free.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    const MAX_DESCRIPTORS: usize = 8;
    let runtime = spare_descriptors(MAX_DESCRIPTORS)
        .map(drop)
        .and_then(|()| tokio::runtime::Builder::new_current_thread().enable_all().build())
        .map_err(Failed::waiting)?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

/// Descriptors that are reserved until they are dropped.
pub(super) fn spare_descriptors(count: usize) -> io::Result<Vec<OwnedFd>> {
    (0..count).map(|_| io::stderr().as_fd().try_clone_to_owned()).collect()
}

impl Start {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let options = self.start.options(true)?;
        let broker = confine_beside_starter(global, &Profile::STARTING, &options)?;
        let dunnage = global.dunnage_beside(broker.as_ref())?;
        let id = global.id(&self.id);
        block_on(async {
            let shim = dunnage.start_shim(&id, options).await?;
            let Err(failed) = Alive::of(&shim).print(global) else { return Ok(()) };
            let outcome = match shim.remove().await {
                Ok(()) => "the shim was stopped".to_owned(),
                Err(error) => format!("the shim was started and cannot be stopped: {error}"),
            };
            Err(failed.during(&format!("start the shim of {id}"), &outcome).into())
        })
    }
}

impl Info {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let profile = Profile::ASKING.with_abstract_sockets(self.connect.allow_legacy);
        let broker = confine_beside_broker(global, &profile)?;
        let dunnage = global.dunnage_beside(broker.as_ref())?;
        let id = global.id(&self.id);
        let shim = block_on(async { Ok(dunnage.connect_shim(&id, self.connect.options()).await?) })?;
        Ok(Alive::of(&shim).print(global)?)
    }
}

impl Stop {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        let profile = Profile::STOPPING.with_abstract_sockets(self.connect.allow_legacy);
        let broker = confine_beside_broker(global, &profile)?;
        let dunnage = global.dunnage_beside(broker.as_ref())?;
        let id = global.id(&self.id);
        let how = if self.kill { How::Kill } else { How::Ask };
        let stopped = block_on(async {
            let shim = dunnage.connect_shim(&id, self.connect.options()).await?;
            let alive = Alive::of(&shim);
            let patience = Duration::from_secs(self.connect.timeout);
            shim.stop(how, patience).await.map_err(|error| error.with_operation(format!("stop the shim of {id}")))?;
            Ok(alive)
        })?;
        Ok(stopped.print(global)?)
    }
}

impl ShimCommand {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Address(command) => command.run(global),
            Self::ConnectAddress(command) => command.run(global),
            Self::Config(command) => command.run(global),
            Self::Start(command) => command.run(global),
            Self::Info(command) => command.run(global),
            Self::Stop(command) => command.run(global),
        }
    }
}

impl Address {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        confine(global, &Profile::NOTHING);
        let (dunnage, id) = (global.dunnage()?, global.id(&self.id));
        let address = if self.legacy { dunnage.legacy_shim_address(&id)? } else { dunnage.shim_address(&id)? };
        Ok(global.output.show(&ShimAddress { address }, |answer| answer.address.clone())?)
    }
}

impl ConnectAddress {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        confine(global, &Profile::READING);
        let endpoint = global.dunnage()?.connect_address(&global.id(&self.id), self.allow_legacy)?;
        Ok(global.output.show(&ShimAddress { address: endpoint.address }, |answer| answer.address.clone())?)
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
        confine(global, &Profile::NOTHING);
        let dunnage = global.dunnage()?;
        let bundle = dunnage.locate(&global.id(&self.id))?;
        let config = dunnage.shim_config(&bundle, &self.settings.options())?;
        let shown = Shown {
            path: config.path.into(),
            work_dir: config.work_dir.into(),
            namespace: config.namespace,
            runtime_root: config.runtime_root,
            systemd_cgroup: config.systemd_cgroup,
        };
        let printed = global.output.show(&shown, |shown| {
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
