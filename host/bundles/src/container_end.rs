//! The end of a container whose records go.

use dunnage_store::{ExitRecord, TaskRecord};
use dunnage_sys::Directory;

/// The end of a container, and who is to tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerEnd {
    /// The host's id of its init.
    pub pid: u32,
    /// Its end, if nobody has told of it: whoever has this is to do so.
    pub untold: Option<ExitRecord>,
}

impl ContainerEnd {
    /// That of the container on record, which has ended; `None` if none is. It is settled before the records
    /// go who tells of it: a monitor that comes later finds that another has taken it over.
    pub(crate) fn settle(records: &Directory) -> Option<Self> {
        let settle = |task: TaskRecord| Ok(Self { pid: task.pid, untold: ExitRecord::claim(records)? });
        let settled = TaskRecord::read(records).and_then(|task| task.map(settle).transpose());
        settled.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot tell of the end of a container");
            None
        })
    }
}
