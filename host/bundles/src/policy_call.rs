//! Lending a directory to the policy that is opened only when the policy first uses it, and taking
//! back what was opened for it.

use std::sync::{Arc, Mutex, PoisonError};

use dunnage_core::{ErrorKind, Result};
use dunnage_sandbox::{Access, LazyDir};
use dunnage_store::LockWait;
use dunnage_sys::Directory;

use crate::throttle::Slot;

/// What is opened for a call: a directory to lend, and what goes with it.
pub(super) trait Lendable: Send + 'static {
    fn directory(&self) -> Arc<Directory>;
}

/// Calls the policy with a directory to be opened on the way. Returns its answer and what was
/// opened, if anything was.
///
/// A call of the policy holds one of few instances and has little time, so it never waits for a
/// lock: if one is taken, the call is given up, the wait follows, and then the call is made again.
pub(super) fn call_policy<T, L: Lendable>(
    slot: &mut Slot<'_>,
    access: Access,
    open: impl Fn(LockWait) -> Result<L> + Clone + Send + 'static,
    call: impl Fn(LazyDir) -> Result<T>,
) -> (Result<T>, Option<L>) {
    let (answer, opened) = call_policy_once(
        access,
        Box::new({
            let open = open.clone();
            move || open(LockWait::Never)
        }),
        &call,
    );
    match answer {
        Err(error) if error.kind() == ErrorKind::Locked && opened.is_none() => {
            match slot.pause(|| open(LockWait::patiently())) {
                Ok(opened) => call_policy_once(access, Box::new(move || Ok(opened)), &call),
                Err(error) => (Err(error), None),
            }
        }
        answer => (answer, opened),
    }
}

fn call_policy_once<T, L: Lendable>(
    access: Access,
    open: Box<dyn FnOnce() -> Result<L> + Send>,
    call: impl Fn(LazyDir) -> Result<T>,
) -> (Result<T>, Option<L>) {
    let slot = Arc::new(Mutex::new(None));
    let theirs = Arc::clone(&slot);
    let lent = LazyDir::new(access, move || {
        let opened = open()?;
        let directory = opened.directory();
        *theirs.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        Ok(directory)
    });
    let answer = call(lent);
    let opened = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    (answer, opened)
}
