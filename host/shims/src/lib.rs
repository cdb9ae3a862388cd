//! Shims of bundles: starting them, connecting to them, asking them, ending them.
//!
//! A *shim* is the process between a daemon and one container: it runs the container's processes, holds
//! their standard streams, and outlives the daemon. It answers at a unix socket, with the service in
//! `dunnage_shim_proto`. What it does there is not the business of this crate: see
//! `dunnage_shim_service` for our own.

#![forbid(unsafe_code)]

mod broker_launcher;
mod cleanup;
mod client;
mod connect;
mod detach;
mod exec_process;
mod handshake;
mod in_process;
mod launch_spec;
mod listen;
mod log_publisher;
mod monitor;
mod options;
mod pending;
mod preflight;
mod shim;
mod shim_log;
mod spawn;
mod standalone;
mod start;
mod status;
mod supervisor;
mod task_streams;

pub use self::broker_launcher::BrokerLauncher;
pub use self::client::{ShimClient, client_on};
pub use self::connect::connect;
pub use self::detach::detach;
pub use self::exec_process::{ExecOptions, ExecUser, process_of};
pub use self::monitor::{MONITOR, OutputLog, run as monitor};
pub use self::options::{Callback, ConnectOptions, StartOptions};
pub use self::pending::MAX_ADDRESS;
pub use self::shim::{Shim, Stop, remove_socket};
pub use self::standalone::{SHIM, ServeOptions, serve};
pub use self::start::{serve as serve_in_process, start};
pub use self::status::{TaskStatus, status, statuses};
pub use self::task_streams::{Attendance, FifoNames, TaskStreams};
