//! What the caller of a shim needs to know about a spec.

use alloc::format;
use alloc::string::String;

use super::reader::{self, Collect, List, Mapping, Process};
use super::{Error, Fault, quick};

/// What the caller of a shim needs to know about a spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSettings {
    /// Whether the process has a terminal.
    pub terminal: bool,
    /// The host's id of the process's user.
    pub io_uid: u32,
    /// The host's id of the process's group.
    pub io_gid: u32,
}

/// What the caller of a shim needs to know about a spec. The ids are `process.user.uid` and `gid`,
/// mapped by the first entry of `linux.uidMappings` and `linux.gidMappings` that covers them, or as
/// they are where there are no such mappings. Similar to `HostUID` and `HostGID` of runc.
///
/// # Errors
///
/// If the spec is not what Go would read, or could be read in two ways, or if the user or the group
/// has no id on the host.
pub fn task_settings(spec: &[u8]) -> Result<TaskSettings, Error> {
    quick_task_settings(spec).map_or_else(|| thorough_task_settings(spec), Ok)
}

/// The answer of [`task_settings`], if the quick reader finds one.
#[must_use]
pub fn quick_task_settings(spec: &[u8]) -> Option<TaskSettings> {
    let process = quick::process(spec)?;
    let mut search = Search::new(process);
    quick::mappings(spec, &mut search)?;
    search.settings(process).ok()
}

/// The same as [`task_settings`] without the quick reader.
///
/// # Errors
///
/// The same.
pub fn thorough_task_settings(spec: &[u8]) -> Result<TaskSettings, Error> {
    let text = dunnage_go_json::check(spec)?;
    // The mappings may stand before the ids. Reading twice needs no memory for them.
    let process = reader::process(&text)?;
    let mut search = Search::new(process);
    reader::mappings(&text, &mut search)?;
    search.settings(process)
}

/// The search for what two ids are mapped to.
struct Search {
    user: Id,
    group: Id,
}

impl Search {
    fn new(process: Process) -> Self {
        Self { user: Id::new(process.user.uid), group: Id::new(process.user.gid) }
    }

    fn settings(&self, process: Process) -> Result<TaskSettings, Error> {
        Ok(TaskSettings {
            terminal: process.terminal,
            io_uid: self.user.on_host("uid", List::Users)?,
            io_gid: self.group.on_host("gid", List::Groups)?,
        })
    }
}

impl Collect for Search {
    const LISTS: &'static [&'static str] = &[List::Users.name(), List::Groups.name()];

    fn take(&mut self, list: List, _: usize, mapping: Mapping) {
        match list {
            List::Users => self.user.take(mapping),
            List::Groups => self.group.take(mapping),
        }
    }
}

/// The search for what one id is mapped to.
struct Id {
    container: u32,
    is_mapped: bool,
    host: Option<u64>,
}

impl Id {
    fn new(container: u32) -> Self {
        Self { container, is_mapped: false, host: None }
    }

    fn take(&mut self, mapping: Mapping) {
        self.is_mapped = true;
        let offset = self.container.checked_sub(mapping.container).filter(|offset| *offset < mapping.size);
        self.host = self.host.or(offset.map(|offset| u64::from(mapping.host) + u64::from(offset)));
    }

    fn on_host(&self, field: &str, list: List) -> Result<u32, Error> {
        let place = format!("process.user.{field}");
        let refuse = |place: String, message| Error { fault: Fault::UnmappedUser, place, line: 0, column: 0, message };
        let host = match self.host {
            Some(host) => host,
            None if self.is_mapped => {
                let message = format!("{place} is {}, which linux.{} does not cover", self.container, list.name());
                return Err(refuse(place, message));
            }
            None => u64::from(self.container),
        };
        match u32::try_from(host) {
            Ok(id) if id != u32::MAX => Ok(id),
            _ => {
                let message = format!("{place} is {host} on the host, where the largest id is 4294967294");
                Err(refuse(place, message))
            }
        }
    }
}

#[cfg(test)]
mod tests;
