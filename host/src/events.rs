//! Events of tasks: what shims publish, kept below the state directory for whoever asks.
//!
//! A shim tells of the end of a process by running our binary (`dunnage publish`), which records
//! the event in `<state>/.dunnage/events` and is done. The record is bounded: of the events before
//! the latest mebibyte another one is kept, and older ones are forgotten. Events are for people
//! and for convenience; whether a process has ended is for its shim to say.

mod decode;
mod event;
mod log;
mod reader;
mod stream;

use std::path::Path;

#[cfg(fuzzing)]
pub(crate) use self::decode::decode as decode_event;
pub use self::event::Event;
pub(crate) use self::log::EventLog;
pub use self::stream::EventStream;
use crate::Dunnage;
use crate::config::check_directory;
use crate::error::Result;

/// The largest event that is taken, as it is published: a `google.protobuf.Any`, encoded.
pub const MAX_EVENT_SIZE: usize = 64 * 1024;

/// Records an event below a state directory. It needs no policy, and so answers at once.
///
/// # Errors
///
/// As [`Dunnage::publish`].
pub fn publish(state: &Path, topic: &str, namespace: &str, event: &[u8]) -> Result<()> {
    log_of(state)
        .and_then(|log| log.record(topic, namespace, event))
        .map_err(|error| error.during(|| "publish an event".to_owned()))
}

/// The events on record below a state directory, the oldest first. Writes nothing.
///
/// # Errors
///
/// As [`Dunnage::events`].
pub fn read(state: &Path) -> Result<Vec<Event>> {
    log_of(state).and_then(|log| log.read()).map_err(|error| error.during(|| "read the events".to_owned()))
}

/// The events on record below a state directory, and then those to come. Writes nothing.
///
/// # Errors
///
/// As [`Dunnage::follow_events`].
pub fn follow(state: &Path) -> Result<EventStream> {
    log_of(state).map(EventStream::new).map_err(|error| error.during(|| "follow the events".to_owned()))
}

fn log_of(state: &Path) -> Result<EventLog> {
    check_directory(state)?;
    Ok(EventLog::new(state))
}

impl Dunnage {
    /// Records an event, as a shim publishes it: a `google.protobuf.Any`, encoded.
    ///
    /// # Errors
    ///
    /// [`InvalidEvent`](crate::ErrorKind::InvalidEvent) if it is none, too large, or of an
    /// unprintable topic, [`InvalidIdentifier`](crate::ErrorKind::InvalidIdentifier) for such a
    /// namespace, and others if it cannot be written down.
    pub fn publish(&self, topic: &str, namespace: &str, event: &[u8]) -> Result<()> {
        self.event_log().record(topic, namespace, event).map_err(|error| error.during(|| "publish an event".to_owned()))
    }

    /// The events on record, of all namespaces, the oldest first. Writes nothing.
    ///
    /// # Errors
    ///
    /// If the record cannot be read. A missing one holds no events.
    pub fn events(&self) -> Result<Vec<Event>> {
        self.event_log().read().map_err(|error| error.during(|| "read the events".to_owned()))
    }

    /// The events on record, of all namespaces, and then those to come. Writes nothing: a state
    /// directory that is not there yet is waited for.
    ///
    /// # Errors
    ///
    /// None now; the stream tells if the record cannot be read.
    pub fn follow_events(&self) -> Result<EventStream> {
        Ok(EventStream::new(self.event_log()))
    }
}
