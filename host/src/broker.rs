//! A broker: the part of a program that stays free to act when the rest has confined itself.
//!
//! Landlock forbids mounting and unmounting to a process and all that it starts, hides other
//! processes from it, and its restrictions can never be shed. So a program that reads what is not
//! trusted and still has to unmount a bundle, start, find and end its shim, or run the container's
//! runtime splits itself: [`Broker::start`] forks, before the program confines itself and before it
//! starts threads. The child answers requests on a socket, and ends with its parent. A [`Dunnage`]
//! that is [built with it](crate::Builder::broker) asks it; any other does these things itself.
//!
//! A request is one of eight: unmount what lies at or under `rootfs`; find the process of this id
//! that runs in the bundle; find that of this id and start time; find all that run there with our
//! mark; end (`SIGTERM`, `SIGKILL`) one that runs there; tell whether one has its root there; have
//! the runtime on record show or delete the container; start the bundle's shim. Each comes with a
//! handle of the bundle, which is checked: a directory of ours, two levels below the state
//! directory that was named at the start. No request names a place to act on, a program or a signal.
//! What the broker needs beyond the handle it finds itself; the runtime it runs lies outside the
//! directories that the confined process can write.
//!
//! Shims are started only by a broker that was told how before anything untrusted was read
//! ([`Broker::start_with_shims`]): the program, its environment, its cgroup. The arguments come with
//! the request, since the policy has decided them, and have to be those that a shim of this bundle
//! would get from us; so does the socket.
//!
//! An attacker who has taken the confined process over can therefore harm the bundles of its own
//! state directory, as it could have all along. If the broker starts shims, it can also have a shim
//! make a container of whatever spec it likes, which is what shims do; nothing here can stop that.
//! The broker keeps all capabilities, since the runtime and shims take over from it, and inherits
//! nothing of the confinement to what it runs.
//!
//! [`Dunnage`]: crate::Dunnage

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::privileged::{Client, Domain, Privileged, serve};
#[cfg(feature = "shim")]
use crate::shim::Starter;
use crate::sys::{Side, close_all_but, fork, survive_signals};

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
        Self::serving(&Domain::new(state.as_ref(), root.as_ref()))
    }

    /// Starts a broker that also starts the shims of a bundle manager that will be set up so.
    ///
    /// They are started by these options. Those of a later [`start_shim`](crate::Dunnage::start_shim)
    /// have to agree in `publisher`, `debug` and `settings`, which the policy is told; of the rest only
    /// its `timeout` matters, and nobody calls `on_exit`. Without a `monitor` the broker takes its
    /// part, until it ends.
    ///
    /// # Errors
    ///
    /// The same, and if this program's own binary cannot be found.
    #[cfg(feature = "shim")]
    pub fn start_with_shims(setup: &crate::Builder, options: &crate::shim::StartOptions) -> io::Result<Self> {
        let config = setup.config();
        let starter = Starter::new(options, config).map_err(io::Error::other)?;
        Self::serving(&Domain::new(&config.state, &config.root).with_starter(starter))
    }

    fn serving(domain: &Domain) -> io::Result<Self> {
        // A lock that another thread holds would never be given back in the child.
        if fs::read_dir("/proc/self/task")?.count() != 1 {
            return Err(io::Error::other("this process has threads already"));
        }
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        match fork()? {
            Side::Parent(child) => Ok(Self(Arc::new(Client::new(ours, Some(child))))),
            Side::Child => {
                // Whatever happens, what comes after in the parent is not for the child to do.
                let served = catch_unwind(AssertUnwindSafe(|| {
                    leave(&theirs);
                    serve(&theirs, domain)
                }));
                std::process::exit(i32::from(!matches!(served, Ok(Ok(())))));
            }
        }
    }

    pub(crate) fn privileged(&self) -> Privileged {
        Privileged::Brokered(Arc::clone(&self.0))
    }
}

/// Leaves the terminal and the streams, whose readers wait for them to be closed, and everything
/// else that is open. Signals that are meant for the program reach it too, from whoever sends them to
/// all processes of a service; the broker ends when the program does, and not before.
fn leave(socket: &OwnedFd) {
    let _ = rustix::process::setsid();
    if let Ok(null) = fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
    close_all_but(socket);
    survive_signals();
}
