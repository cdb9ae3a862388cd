//! Refusals, with the codes that containerd's shim gives.

use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ttrpc::Code;

/// What a request is answered with.
pub(super) type RpcResult<T> = ttrpc::Result<T>;

/// A refusal.
pub(super) fn refuse(code: Code, message: impl Display) -> ttrpc::Error {
    ttrpc::Error::RpcStatus(ttrpc::get_status(code, message))
}

pub(super) fn not_found(message: impl Display) -> ttrpc::Error {
    refuse(Code::NOT_FOUND, message)
}

pub(super) fn invalid(message: impl Display) -> ttrpc::Error {
    refuse(Code::INVALID_ARGUMENT, message)
}

pub(super) fn not_now(message: impl Display) -> ttrpc::Error {
    refuse(Code::FAILED_PRECONDITION, message)
}

/// The runtime or a system call failed.
pub(super) fn failed(message: impl Display) -> ttrpc::Error {
    refuse(Code::UNKNOWN, message)
}

/// What an error says, without its wrapping.
pub(super) fn message_of(error: &ttrpc::Error) -> String {
    if let ttrpc::Error::RpcStatus(status) = error { status.message().to_owned() } else { error.to_string() }
}

/// Finishes a request even if the client has gone, rather than leave it half done.
pub(super) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = RpcResult<T>> + Send + 'static,
) -> RpcResult<T> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(refuse(Code::INTERNAL, error)))
}

/// Does something that may block.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> RpcResult<T> + Send + 'static) -> RpcResult<T> {
    dunnage_async::on_thread(work).await.unwrap_or_else(|error| Err(refuse(Code::INTERNAL, error)))
}

/// Locks for a moment. The data stays consistent even if another thread panicked.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a text can be an id: containerd's rule, so that no option and no path is taken for one.
pub(super) fn is_identifier(id: &str) -> bool {
    id.len() <= 76
        && id.split(['.', '_', '-']).all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}
