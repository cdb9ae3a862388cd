//! Splitting this process in two: the broker is its child.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use dunnage_sys::scm_rights::message_pair;
use dunnage_sys::{Side, fork, has_one_thread, leave_everything_but};

use crate::{Client, Domain, Privileged, serve};

/// A broker, which ends when the last copy of this is dropped.
#[derive(Clone, Debug)]
pub struct Broker(Arc<Client>);

impl Broker {
    /// Starts a broker.
    ///
    /// # Errors
    ///
    /// If this process has other threads already, or cannot be forked.
    pub fn start(domain: &Domain) -> io::Result<Self> {
        // A lock that another thread holds would never be given back in the child.
        if !has_one_thread()? {
            return Err(io::Error::other("this process already has threads"));
        }
        let (ours, theirs) = message_pair()?;
        match fork()? {
            Side::Parent(child) => Ok(Self(Arc::new(Client::new(ours, Some(child))))),
            Side::Child => {
                // Whatever happens, what comes after in the parent is not for the child to do.
                let served = catch_unwind(AssertUnwindSafe(|| {
                    leave_everything_but(&theirs);
                    serve(&theirs, domain)
                }));
                std::process::exit(i32::from(!matches!(served, Ok(Ok(())))));
            }
        }
    }

    /// Makes the broker perform the privileged calls of this process.
    #[must_use]
    pub fn privileged(&self) -> Privileged {
        Privileged::Brokered(Arc::clone(&self.0))
    }
}
