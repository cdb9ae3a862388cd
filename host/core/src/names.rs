//! The names of what lies in a bundle, a work directory and our records.

use dunnage_sys::Name;

/// Where the shim mounts the container's root file system.
pub const ROOTFS: Name = Name::literal(c"rootfs");
/// The OCI spec.
pub const CONFIG: Name = Name::literal(c"config.json");
/// Our lasting records, beside the namespaces.
pub const RECORDS: Name = Name::literal(c".dunnage");
/// The shims on record.
pub const SHIMS: Name = Name::literal(c"shims");
/// The record of one of them.
pub const RECORD: Name = Name::literal(c"record.json");
/// Which state and which root belong together.
pub const PAIR: Name = Name::literal(c"pair.json");
/// Which bundles are of an earlier boot.
pub const EARLIER: Name = Name::literal(c"earlier.jsonl");
/// The shim's address.
pub const ADDRESS: Name = Name::literal(c"address");
/// The shim's process id.
pub const SHIM_PID: Name = Name::literal(c"shim.pid");
/// The FIFO that a shim writes its output to.
pub const SHIM_STDOUT: Name = Name::literal(c"shim.stdout.log");
/// The FIFO that a shim writes its errors to.
pub const SHIM_STDERR: Name = Name::literal(c"shim.stderr.log");
/// The FIFO of a container's standard input.
pub const STDIN: Name = Name::literal(c"stdin");
/// The FIFO of a container's standard output.
pub const STDOUT: Name = Name::literal(c"stdout");
/// The FIFO of a container's standard error.
pub const STDERR: Name = Name::literal(c"stderr");
/// What a detached container has written.
pub const CONTAINER_LOG: Name = Name::literal(c"container.log");
/// What it has written before that.
pub const OLDER_CONTAINER_LOG: Name = Name::literal(c"container.log.1");
/// What is known of a container that was created.
pub const TASK: Name = Name::literal(c"task.json");
/// How a container has ended.
pub const EXIT: Name = Name::literal(c"exit.json");
/// The events on record.
pub const EVENTS: Name = Name::literal(c"events");
/// What guards have decided.
pub const DECISIONS: Name = Name::literal(c"decisions");
/// The file that events and decisions are appended to.
pub const LOG: Name = Name::literal(c"log");
/// The file before `log`.
pub const OLDER_LOG: Name = Name::literal(c"log.1");
