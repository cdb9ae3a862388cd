//! A broker: the part of a program that stays free to act when the rest has confined itself.
//!
//! Landlock forbids mounting and unmounting to a process and all that it starts, hides other
//! processes from it, and its restrictions can never be shed. So a program that reads what is not
//! trusted and still has to unmount a bundle, find and end its shim, or run the container's
//! runtime splits itself: [`Broker::start`] forks, before the program confines itself and before it
//! starts threads. The child answers requests on a socket, and ends with its parent. A [`Dunnage`]
//! that is [built with it](crate::Builder::broker) asks it; any other does these things itself.
//!
//! A request is one of six: unmount what lies at or under `rootfs`; find the process of this id
//! that runs in the bundle; find that of this id and start time; find all that run there with our
//! mark; end (`SIGTERM`, `SIGKILL`) one that runs there; have the runtime on record show or delete
//! the container. Each comes with a handle of the bundle, which is checked: a directory of ours, two
//! levels below the state directory that was named at the start. No request carries a path, a
//! program, an argument or a signal's number. What the broker needs beyond the handle it finds
//! itself; the runtime it runs lies outside the directories that the confined process can write.
//!
//! An attacker who has taken the confined process over can therefore harm the bundles of its own
//! state directory, as it could have all along, and nothing else. The broker keeps all
//! capabilities, since the runtime takes over from it, and inherits nothing of the confinement to
//! what it runs.
//!
//! [`Dunnage`]: crate::Dunnage

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::privileged::{Client, Domain, Privileged, serve};
use crate::sys::{Side, fork};

/// A broker, which ends when nobody has it any more.
#[derive(Clone, Debug)]
pub struct Broker(Arc<Client>);

impl Broker {
    /// Starts a broker for the bundles of a state and a root directory.
    ///
    /// # Errors
    ///
    /// If this process has other threads already, or cannot be forked.
    pub fn start(state: impl AsRef<Path>, root: impl AsRef<Path>) -> io::Result<Self> {
        // A lock that another thread holds would never be given back in the child.
        if fs::read_dir("/proc/self/task")?.count() != 1 {
            return Err(io::Error::other("this process has threads already"));
        }
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        match fork()? {
            Side::Parent(child) => Ok(Self(Arc::new(Client::new(ours, Some(child))))),
            Side::Child => {
                drop(ours);
                let domain = Domain::new(state.as_ref(), root.as_ref());
                // Whatever happens, what comes after in the parent is not for the child to do.
                let served = catch_unwind(AssertUnwindSafe(|| {
                    leave();
                    serve(&theirs, &domain)
                }));
                std::process::exit(i32::from(!matches!(served, Ok(Ok(())))));
            }
        }
    }

    pub(crate) fn privileged(&self) -> Privileged {
        Privileged::Brokered(Arc::clone(&self.0))
    }
}

/// Leaves the terminal, whose signals are not meant for us, and the streams, whose readers wait for
/// them to be closed.
fn leave() {
    let _ = rustix::process::setsid();
    if let Ok(null) = fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}
