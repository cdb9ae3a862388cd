//! The verbs over bundles: create, load, list, inspect, delete, recover.
//!
//! The policy decides, on a directory that is lent to it; what is here opens that directory, checks what
//! was made, publishes it, and takes back what failed. Shims are looked for and ended here as far as a
//! bundle cannot be deleted under one; they are started elsewhere.

#![forbid(unsafe_code)]

mod bundle_guard;
mod container;
mod container_end;
mod create;
mod delete;
mod inspect;
mod listing;
mod node;
mod policy_call;
mod recorded_shim;
mod recover;
mod staging;
mod terminate;
mod throttle;

pub use self::bundle_guard::BundleGuard;
pub use self::container::Container;
pub use self::container_end::ContainerEnd;
pub use self::create::{Created, create};
pub use self::delete::{Deletion, delete, end_container};
pub use self::inspect::{
    Inspection, Scope, find_shim, incarnation, inspect, lend_to_read, list, load, open_bundle, read_spec,
    work_dir_to_read,
};
pub use self::listing::{Listed, Listing};
pub use self::node::{Node, NodeConfig};
pub use self::recorded_shim::RecordedShim;
pub use self::recover::{Fate, Finding, Leftover, RecoverOptions, Recovery, recover};
