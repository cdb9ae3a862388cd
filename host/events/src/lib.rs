//! Events of containers: what shims publish, kept below the state directory for any caller.
//!
//! A shim reports the end of a process by running a program of ours, which records the
//! event in `<state>/.dunnage/events` and is done. The record is bounded: of the events before the
//! latest mebibyte another one is kept, and older ones are forgotten. Events are for people and for
//! convenience; only its shim knows whether a process has ended.

#![forbid(unsafe_code)]

mod decode;
mod event;
mod log;

pub use self::decode::decode;
pub use self::event::{Event, TASK_DELETE, TASK_EXIT};
pub use self::log::{EventLog, EventStream};

/// The largest event that is taken, as it is published: a `google.protobuf.Any`, encoded.
pub const MAX_EVENT_SIZE: usize = 64 * 1024;
