//! The system calls of Dunnage, one file per kind, and the only crate that makes privileged ones.
//!
//! Everything below a directory acts on a handle of it and on names of a single component. Whole
//! paths enter in [`trusted_path`] (the directories that an operator names), [`streams`] (where a
//! request has a process's standard streams lead), [`console`], [`pid_file`], [`cgroup`], and as the
//! program of a child; paths below `/proc`, made of handles and process ids, stand in where a call
//! takes no handle.
//!
//! It knows nothing of policies, specs or any async runtime.

mod acl;
mod atomic_file;
pub mod cgroup;
pub mod console;
mod create;
pub mod descriptors;
mod directory;
mod failure;
mod fifo;
mod file_size_limit;
mod fork;
mod inotify;
mod line_file;
mod listen;
mod listing;
mod memory_file;
mod metadata;
mod mount;
mod mount_id;
mod mount_table;
mod name;
mod oom;
mod open;
pub mod pid_file;
mod process;
mod procfs;
mod random;
mod reap;
mod remove;
pub mod scm_rights;
mod signals;
mod socket;
mod spawn;
pub mod streams;
pub mod trusted_path;
mod unmount;

pub use self::directory::Directory;
pub use self::failure::{Failure, Result, retry};
pub use self::file_size_limit::survive_file_size_limit;
pub use self::fork::{Side, fork, has_one_thread, leave_everything_but, leave_input_and_output, reap_child};
pub use self::inotify::DirectoryWatch;
pub use self::line_file::LineFile;
pub use self::listen::{Listening, dial_abstract, is_listening_unix_socket, listen, peer_uid};
pub use self::listing::DirectoryEntry;
pub use self::memory_file::memory_file;
pub use self::metadata::{FileIdentity, FileKind, Metadata, path_identity};
pub use self::mount::{Mounting, mount_below};
pub use self::mount_table::Mounts;
pub use self::name::{Name, NameError};
pub use self::oom::OomWatch;
pub use self::open::Crossing;
pub use self::process::{End, MARK, ProcessHandle, ProcessId, effective_ids, is_rooted_at};
pub use self::procfs::{
    boot_id, children, has_children, ignores, is_first_of_pid_namespace, is_kept_from, is_there, parent_of,
    program_name, start_time,
};
pub use self::random::random;
pub use self::reap::{
    UNKNOWN_STATUS, become_subreaper, has_ended, open_child, reap_all_but, reap_orphans, send_signal, try_reap,
};
pub use self::signals::{block_terminal_stops, ordinary_signals};
pub use self::socket::{
    SocketFate, SocketIdentity, dial, remove_dead_socket, remove_own_socket, remove_recorded_socket,
};
pub use self::spawn::{Apart, hand_over, is_executable, persistently};
pub use self::unmount::unmount_below;
