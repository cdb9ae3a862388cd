//! A broker: the part of a program that stays free to act when the rest has confined itself.
//!
//! Landlock forbids mounting and unmounting to a process and all that it starts, hides other
//! processes from it, and its restrictions can never be shed. So a program that reads what is not
//! trusted and still must unmount a bundle, start, find and end its shim, or run the container's
//! runtime splits itself: [`Broker::start`] forks, before the program confines itself and before it
//! starts threads. The child answers requests on a socket, and ends with its parent. A bundle
//! manager that is built with it asks it; any other does these things itself.
//!
//! A request is one of eight: unmount what lies at or under `rootfs`; find the process of this id
//! that runs in the bundle; find that of this id and start time; find all that run there with our
//! mark; end (`SIGTERM`, `SIGKILL`) one that runs there; report whether one has its root there;
//! have the runtime on record show or delete the container; start the bundle's shim. Each comes
//! with a handle of the bundle, which is checked: a directory of ours, two levels below the state
//! directory that was named at the start. No request names a place to act on, a program or a
//! signal. What the broker needs beyond the handle it finds itself; the runtime it runs lies
//! outside the directories that the confined process can write.
//!
//! Shims are started only by a broker that knew how before anything untrusted was read (a
//! [`ShimLauncher`]): the program, its environment, its cgroup. The arguments come with the
//! request, since the policy has decided them, and must be those that a shim of this bundle would
//! get from us; so does the socket.
//!
//! An attacker who has taken the confined process over can therefore harm the bundles of its own
//! state directory, as it could have all along. If the broker starts shims, it can also have a shim
//! make a container of whatever spec it likes, which is what shims do; nothing here can stop that.
//! The broker keeps all capabilities, since the runtime and shims take over from it, and passes
//! none of the confinement on to what it runs.
//!
//! This crate holds both sides, what goes over the socket between them, and the checks. It starts no
//! shim itself: how that is done comes from above, as a [`ShimLauncher`].

#![forbid(unsafe_code)]

// Tests of a crate above share a file with those here.
#[cfg(test)]
extern crate self as dunnage_broker;

mod action;
mod broker;
mod checks;
mod client;
mod launcher;
mod privileged;
mod server;
#[cfg(test)]
mod tests;
mod wire;

pub use self::action::{Action, runtime_of};
pub use self::broker::Broker;
pub use self::checks::Domain;
pub use self::client::Client;
pub use self::launcher::ShimLauncher;
pub use self::privileged::Privileged;
pub use self::server::serve;
pub use self::wire::{MAX_REPLY_SIZE, Received, Reply, Request, receive, send};
