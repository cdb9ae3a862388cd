//! What the async parts of Dunnage need beyond tokio: descriptors to wait for, and work on threads
//! that are not the runtime's.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that can be waited for; given back with the reason if it cannot (a regular file:
/// `EPERM`).
///
/// # Errors
///
/// If the runtime cannot wait for it.
pub fn waitable(fd: OwnedFd, interest: Interest) -> Result<AsyncFd<OwnedFd>, (OwnedFd, io::Error)> {
    #[expect(unsafe_code, reason = "the safe function is deprecated, since types can lie about their descriptor")]
    // SAFETY: an `OwnedFd` is one open descriptor and stays the same one until it is dropped.
    let registered = unsafe { AsyncFd::register_with_interest(fd, interest) };
    registered.map_err(|error| error.into_parts())
}

/// Does something that may block, on a thread of its own: the runtime's pool panics if the system
/// cannot start a thread.
///
/// # Errors
///
/// If there is no thread, or it panicked.
pub async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new().name("dunnage-blocking".to_owned()).spawn(move || {
        let _entered = runtime.enter();
        // The caller may have gone.
        let _ = sender.send(work());
    })?;
    receiver.await.map_err(io::Error::other)
}
