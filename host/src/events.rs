//! Events of containers: what shims publish, kept below the state directory for any caller.
//!
//! Each function is there for a state directory alone, which needs no policy and so answers at once, and
//! for a [`Dunnage`], as a method.

use std::path::Path;

use dunnage_core::{Result, check_directory};
pub use dunnage_events::{Event, EventStream, MAX_EVENT_SIZE};
use dunnage_events::{EventLog, TASK_DELETE, TASK_EXIT};

use crate::Dunnage;
use crate::manager::during;

/// Records an event below a state directory.
///
/// # Errors
///
/// As [`Dunnage::publish`].
pub fn publish(state: &Path, topic: &str, namespace: &str, event: &[u8]) -> Result<()> {
    let recorded = log_of(state).and_then(|log| log.record(topic, namespace, event));
    recorded.map_err(during(|| "publish an event".to_owned()))
}

/// The events on record below a state directory, the oldest first. Writes nothing.
///
/// # Errors
///
/// As [`Dunnage::events`].
pub fn read(state: &Path) -> Result<Vec<Event>> {
    log_of(state).and_then(|log| log.read()).map_err(during(|| "read the events".to_owned()))
}

/// The events on record below a state directory, and then those to come. Writes nothing.
///
/// # Errors
///
/// As [`Dunnage::follow_events`].
pub fn follow(state: &Path) -> Result<EventStream> {
    log_of(state).map(EventLog::follow).map_err(during(|| "follow the events".to_owned()))
}

fn log_of(state: &Path) -> Result<EventLog> {
    check_directory(state)?;
    Ok(EventLog::new(state))
}

/// Tells of the ends of containers that were noticed, and of their removal. A failure is only logged: what it
/// tells of has happened.
pub(crate) fn tell_ends(dunnage: &Dunnage) {
    let log = EventLog::new(dunnage.0.layout.state.path());
    for end in dunnage.0.take_ends() {
        let event = |topic: &str| Event::of_task(topic, &end.id).with_process(end.id.id(), Some(end.pid));
        let exit = end.untold.map(|exit| event(TASK_EXIT).with_exit(exit.status, exit.time));
        let deleted = end.is_deleted.then(|| event(TASK_DELETE));
        for event in exit.into_iter().chain(deleted) {
            if let Err(error) = log.record_claimed(&event) {
                tracing::warn!(%error, "cannot tell of {} of {}", event.topic, end.id);
            }
        }
    }
}

impl Dunnage {
    /// Records an event, as a shim publishes it: a `google.protobuf.Any`, encoded.
    ///
    /// # Errors
    ///
    /// [`InvalidEvent`](crate::ErrorKind::InvalidEvent) if it is not one, too large, or of an
    /// unprintable topic, [`InvalidIdentifier`](crate::ErrorKind::InvalidIdentifier) for such a
    /// namespace, and others if it cannot be written down.
    pub fn publish(&self, topic: &str, namespace: &str, event: &[u8]) -> Result<()> {
        publish(self.0.layout.state.path(), topic, namespace, event)
    }

    /// The events on record, of all namespaces, the oldest first. Writes nothing.
    ///
    /// # Errors
    ///
    /// If the record cannot be read. A missing one holds no events.
    pub fn events(&self) -> Result<Vec<Event>> {
        read(self.0.layout.state.path())
    }

    /// The events on record, of all namespaces, and then those to come. Writes nothing: a state
    /// directory that is not there yet is waited for.
    ///
    /// # Errors
    ///
    /// None now; the stream reports if the record cannot be read.
    pub fn follow_events(&self) -> Result<EventStream> {
        follow(self.0.layout.state.path())
    }
}
