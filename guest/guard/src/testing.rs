//! Asking a guard natively, as a host would ask its component.

use crate::{ContainerId, Denial, Document, Guard, Operation, Request, Verdict, settings};

/// What a guard says of a document, with these settings.
///
/// # Errors
///
/// Why it denies it; with the rule `settings` if the settings are wrong.
pub fn review<G: Guard>(operation: Operation, subject: &str, settings: &str) -> Verdict {
    review_request::<G>(&request(operation, subject), settings)
}

/// The same for any request.
///
/// # Errors
///
/// The same.
pub fn review_request<G: Guard>(request: &Request, text: &str) -> Verdict {
    let settings = settings::<G>(text).map_err(|why| Denial::new("settings", why))?;
    G::review(request, &settings)
}

/// A request about a document, and nothing else.
#[must_use]
pub fn request(operation: Operation, subject: &str) -> Request {
    Request {
        operation,
        subject: Document::new(subject),
        container_spec: None,
        container: ContainerId { namespace: "default".into(), id: "test".into() },
        exec_id: None,
        engine: None,
        annotations: alloc::vec::Vec::new(),
    }
}
