//! What a detached container writes, kept in files of bounded size.
//!
//! The lines are those of Kubernetes' container runtime interface, which many tools read: a time, the
//! stream, `F` for a whole line or `P` for a part of one, and the text. Parts make the record exact: what
//! was written is all parts and lines put together again, whatever bytes it holds.
//!
//! Nothing here knows of containers or shims: a writer has a directory and a name, a reader the same.

#![forbid(unsafe_code)]

mod line;
mod reader;
mod writer;

pub use self::line::{Line, LogStream};
pub use self::reader::LogReader;
pub use self::writer::LogWriter;

/// How large a file becomes before another is begun, in bytes. Two files are kept.
pub const DEFAULT_MAX_SIZE: u64 = 10 << 20;
/// The smallest size that makes sense.
pub const MIN_MAX_SIZE: u64 = 64 << 10;
