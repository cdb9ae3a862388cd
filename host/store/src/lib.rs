//! What Dunnage keeps on disk: where bundles and work directories lie, who holds their locks, which
//! state and root directory belong together, and what is on record about shims.
//!
//! It reports what is there and keeps others out meanwhile; the crates above decide what to do
//! about it.

#![forbid(unsafe_code)]

mod base_dir;
mod dir_lock;
mod handle_cache;
mod layout;
mod line_log;
mod pairing;
mod records;
mod seen_pairs;
mod shim_record;
mod task_record;

pub use self::base_dir::{BaseDir, PASSABLE, check_owner};
pub use self::dir_lock::{DirLock, LockWait};
pub use self::layout::{Layout, bundle_below, names_of, socket_name};
pub use self::line_log::{LineLog, LineStream};
pub use self::pairing::{PairStatus, Pairing, PreviousBoot};
pub use self::shim_record::{RecordDir, ShimKind, ShimRecord};
pub use self::task_record::{ExitRecord, KILLED_STATUS, TaskRecord};
