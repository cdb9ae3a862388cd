//! `ps`.

use clap::Args;
use serde::Serialize;

use super::{Container, Global, Profile, with_shim};
use crate::output::columns;

/// List the processes of a container
#[derive(Args)]
#[command(after_help = "The ids are those of the host.\n\nExample:\n  dunnage ps web-1 -o json")]
pub(crate) struct Ps {
    #[command(flatten)]
    container: Container,
}

#[derive(Serialize)]
struct Process {
    pid: u32,
    /// `null` if it has ended meanwhile.
    parent: Option<u32>,
    command: Option<String>,
}

impl Ps {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let id = self.container.id.as_str();
        let pids =
            with_shim(global, id, "ps", &Profile::ASKING, async |_, shim| Ok(shim.client().list_pids(id).await?))?;
        let processes: Vec<_> = pids.into_iter().map(Process::of).collect();
        Ok(global.output.show(&processes, |processes| {
            let rows: Vec<_> = processes.iter().map(Process::row).collect();
            columns(["PID", "PARENT", "COMMAND"], &rows)
        })?)
    }
}

impl Process {
    fn of(pid: u32) -> Self {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok();
        let line = line.map(|line| String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned());
        // A process without a command line is shown by its name, as ps(1) does.
        let name =
            || dunnage_sys::program_name(pid).map(|name| format!("[{}]", String::from_utf8_lossy(&name).trim_end()));
        Self { pid, parent: dunnage_sys::parent_of(pid), command: line.filter(|line| !line.is_empty()).or_else(name) }
    }

    fn row(&self) -> [String; 3] {
        let parent = self.parent.map_or_else(|| "-".to_owned(), |parent| parent.to_string());
        [self.pid.to_string(), parent, self.command.clone().unwrap_or_else(|| "-".to_owned())]
    }
}
