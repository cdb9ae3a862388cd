//! The end of a container whose records go.

use dunnage_core::BundleId;
use dunnage_store::{ExitRecord, TaskRecord};
use dunnage_sys::Directory;

use crate::Node;

/// The end of a container, which whoever has this is to tell of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEnd {
    /// The container.
    pub id: BundleId,
    /// The host's id of its init.
    pub pid: u32,
    /// How it ended, if nobody has told of that.
    pub untold: Option<ExitRecord>,
    /// Whether its bundle was deleted.
    pub is_deleted: bool,
}

impl ContainerEnd {
    /// That of the container on record, which has ended; `None` if none is. It is settled before the records
    /// go who tells of it: a monitor that comes later finds that another has taken it over.
    pub(crate) fn settle(id: &BundleId, records: &Directory) -> Option<Self> {
        let settle = |task: TaskRecord| {
            let untold = ExitRecord::claim(records)?;
            Ok(Self { id: id.clone(), pid: task.pid, untold, is_deleted: false })
        };
        let settled = TaskRecord::read(records).and_then(|task| task.map(settle).transpose());
        settled.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot tell of the end of a container");
            None
        })
    }

    /// The same, noted on the node.
    pub(crate) fn note(node: &Node, id: &BundleId, records: &Directory) {
        if let Some(end) = Self::settle(id, records) {
            node.note_end(end);
        }
    }
}
