//! `pause`, `resume`, `update`, `resize`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use dunnage::guards::Operation;
use dunnage::shim::Shim;
use dunnage::shim::protocol::task::Status;
use dunnage::{ErrorKind, Spec, Step};

use super::{Changed, Container, Global, Profile, with_shim};
use crate::failure::Failed;

/// The largest resources that are read, in bytes.
const MAX_RESOURCES: u64 = 1 << 20;

/// Freeze all processes of a container
#[derive(Args)]
#[command(after_help = "Example:\n  dunnage pause web-1")]
pub(crate) struct Pause {
    #[command(flatten)]
    container: Container,
}

/// Let a frozen container go on
#[derive(Args)]
#[command(after_help = "Example:\n  dunnage resume web-1")]
pub(crate) struct Resume {
    #[command(flatten)]
    container: Container,
}

impl Pause {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let id = &self.container.id;
        with_shim(global, id, "pause", &Profile::CONTROLLING, async |_, shim| {
            if is_paused(&shim, id).await? {
                return Err(Failed::not_running(
                    &format!("pause {}", global.id(id)),
                    "its container is paused already",
                )
                .into());
            }
            shim.client().pause().await?;
            shim.tell("/tasks/paused", None).await;
            Ok(())
        })?;
        Changed::print(global, &global.id(id), "paused")
    }
}

impl Resume {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let id = &self.container.id;
        with_shim(global, id, "resume", &Profile::CONTROLLING, async |_, shim| {
            if !is_paused(&shim, id).await? {
                return Err(
                    Failed::not_running(&format!("resume {}", global.id(id)), "its container is not paused").into()
                );
            }
            shim.client().resume().await?;
            shim.tell("/tasks/resumed", None).await;
            Ok(())
        })?;
        Changed::print(global, &global.id(id), "running")
    }
}

/// Change the limits of a running container
#[derive(Args)]
#[command(after_help = "The file holds `linux.resources` of the OCI spec; what it does not name stays as it is.\n\n\
    Example:\n  echo '{\"memory\":{\"limit\":268435456}}' | dunnage update web-1 --resources -")]
pub(crate) struct Update {
    #[command(flatten)]
    container: Container,
    /// The resources as JSON, `-` for standard input
    #[arg(long, value_name = "FILE")]
    resources: PathBuf,
}

impl Update {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let operation = format!("update {}", global.id(&self.container.id));
        let resources = read_object(&self.resources, &operation, Step::Configure)?;
        let id = global.id(&self.container.id);
        with_shim(global, &self.container.id, "update", &Profile::CONTROLLING, async |dunnage, shim| {
            dunnage.admit_beside_spec(Operation::Update, &id, Spec::new(resources.as_slice()), None)?;
            Ok(shim.client().update(&resources).await?)
        })
    }
}

/// Whether a container that runs is paused.
pub(super) async fn is_paused(shim: &Shim, id: &str) -> dunnage::Result<bool> {
    let state = shim.client().state(id).await?;
    Ok(matches!(state.status.enum_value_or_default(), Status::PAUSED | Status::PAUSING))
}

/// Reads a small file that must hold one JSON object, before this process gives up the right to. What is
/// in it the shim and its runtime check, whose messages name no file.
pub(super) fn read_object(path: &Path, operation: &str, step: Step) -> anyhow::Result<Vec<u8>> {
    let shown = if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() };
    let content = read(path).with_context(|| format!("{operation}: {step}: cannot read {shown}"))?;
    let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&content);
    object.map_err(|error| {
        let message = format!("{shown} does not hold a JSON object: {error}");
        Failed::of(operation, ErrorKind::InvalidSpec, step, message)
    })?;
    Ok(content)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let limit = MAX_RESOURCES + 1;
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut content)?;
    } else {
        std::fs::File::open(path)?.take(limit).read_to_end(&mut content)?;
    }
    if content.len() as u64 >= limit {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(content)
}

/// Set the size of the terminal of a container
#[derive(Args)]
#[command(after_help = "Example:\n  dunnage resize web-1 120x40")]
pub(crate) struct Resize {
    #[command(flatten)]
    container: Container,
    /// Columns and rows
    #[arg(value_name = "WIDTHxHEIGHT", value_parser = size)]
    size: (u32, u32),
    /// That of a process that `exec` has started
    #[arg(long, value_name = "EXEC-ID")]
    exec: Option<String>,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number > 0).map(u32::from);
    let size = text.split_once('x').and_then(|(width, height)| Some((number(width)?, number(height)?)));
    size.ok_or_else(|| format!("{text:?} is not a size such as 120x40"))
}

impl Resize {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let id = self.container.id.as_str();
        let process = self.exec.as_deref().unwrap_or(id);
        let (width, height) = self.size;
        with_shim(global, id, "resize", &Profile::ASKING, async |_, shim| {
            // Shims take the size of what has no terminal, or of nothing, in different ways.
            if !shim.client().state(process).await?.terminal {
                let message = format!("process {process:?} has no terminal");
                return Err(Failed::not_running(&format!("resize {}", global.id(id)), message).into());
            }
            Ok(shim.client().resize_pty(process, width, height).await?)
        })
    }
}
