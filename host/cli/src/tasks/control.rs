//! `pause`, `resume`, `update`, `resize`.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::{Changed, Container, Global, Profile, with_shim};

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
        let operation =
            || format!("update {}: cannot read {}", global.id(&self.container.id), self.resources.display());
        let resources = read(&self.resources).with_context(operation)?;
        with_shim(global, &self.container.id, "update", &Profile::ASKING, async |_, shim| {
            Ok(shim.client().update(&resources).await?)
        })
    }
}

/// Reads a small file, before this process gives up the right to.
pub(super) fn read(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
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
        let process = self.exec.as_deref().unwrap_or(&self.container.id);
        let (width, height) = self.size;
        with_shim(global, &self.container.id, "resize", &Profile::ASKING, async |_, shim| {
            Ok(shim.client().resize_pty(process, width, height).await?)
        })
    }
}
