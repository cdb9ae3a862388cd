//! Write guards for Dunnage: components that see what is about to run on a node, and allow or deny it.
//!
//! A guard is a type that implements [`Guard`], and one line that makes a component of it:
//!
//! ```
//! use dunnage_guard::{Denial, Guard, Operation, Request, Verdict, allow};
//!
//! struct NoHostNetwork;
//!
//! impl Guard for NoHostNetwork {
//!     type Settings = ();
//!     const NAME: &'static str = "no-host-network";
//!     const VERSION: &'static str = "1.0.0";
//!     const READS: &'static [&'static str] = &["/linux/namespaces"];
//!     const OPERATIONS: &'static [Operation] = &[Operation::Create, Operation::Restore];
//!
//!     fn review(request: &Request, (): &()) -> Verdict {
//!         let spec = request.spec()?;
//!         if spec.linux.namespaces.iter().any(|namespace| namespace.kind == "network") {
//!             return allow();
//!         }
//!         Err(Denial::new("host-network", "it would use the network of the node").at("/linux/namespaces"))
//!     }
//! }
//!
//! dunnage_guard::export!(NoHostNetwork);
//! # fn main() {
//! let verdict = dunnage_guard::testing::review::<NoHostNetwork>(Operation::Create, r#"{"linux":{}}"#, "{}");
//! assert_eq!(verdict.unwrap_err().rule, "host-network");
//! # }
//! ```
//!
//! Built for `wasm32-wasip2` as a `cdylib` without `std`, that is a component of the world
//! `dunnage:guard/guard@0.1.0` which imports nothing of WASI. Built natively it is a plain library,
//! which is how its rules are tested: [`testing::review`].
//!
//! What is read is read as containerd and runc read it, or denied; see the crate `dunnage-go-json`.
//! The types of the OCI spec are in [`oci`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod oci;
mod request;
pub mod testing;

#[cfg(target_family = "wasm")]
mod component;

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

pub use self::request::{ContainerId, Document, Operation, Request};
use serde::de::DeserializeOwned;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub use self::component::{Exported, bindings};
#[cfg(all(target_family = "wasm", feature = "runtime"))]
use dunnage_guest_runtime as _;

/// A guard.
pub trait Guard {
    /// What an operator can set, read from JSON; the default if nothing is set. Refuse what is not
    /// known (`#[serde(deny_unknown_fields)]`): a misspelt setting should not be silently ignored.
    type Settings: Default + DeserializeOwned;

    /// Its name: letters, digits and dashes.
    const NAME: &'static str;
    /// Its version.
    const VERSION: &'static str;
    /// What it looks at, for people: JSON pointers into the spec.
    const READS: &'static [&'static str];
    /// What it is asked about.
    const OPERATIONS: &'static [Operation];

    /// What is wrong with settings, beside their form.
    ///
    /// # Errors
    ///
    /// One sentence for the operator.
    fn check(_: &Self::Settings) -> Result<(), String> {
        Ok(())
    }

    /// Says whether something may be done.
    ///
    /// # Errors
    ///
    /// Why it must not.
    fn review(request: &Request, settings: &Self::Settings) -> Verdict;
}

/// What a guard says: warnings, or why not.
pub type Verdict = Result<Vec<String>, Denial>;

/// Nothing is wrong.
///
/// # Errors
///
/// None.
pub fn allow() -> Verdict {
    Ok(Vec::new())
}

/// Why something is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The rule that denies it: a short name that does not change.
    pub rule: String,
    /// One sentence for a person.
    pub reason: String,
    /// What offends, as a JSON pointer into what was asked about.
    pub pointer: Option<String>,
}

impl Denial {
    /// A denial of the whole.
    #[must_use]
    pub fn new(rule: &str, reason: impl Into<String>) -> Self {
        Self { rule: rule.into(), reason: reason.into(), pointer: None }
    }

    /// The same, about one place.
    #[must_use]
    pub fn at(self, pointer: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), ..self }
    }
}

impl From<dunnage_go_json::Error> for Denial {
    /// What cannot be read for certain is denied.
    fn from(error: dunnage_go_json::Error) -> Self {
        let pointer = Some(error.pointer.clone()).filter(|pointer| !pointer.is_empty());
        Self { rule: "unreadable".into(), reason: error.to_string(), pointer }
    }
}

/// Reads settings: `{}` and an empty text stand for the default.
///
/// # Errors
///
/// What is wrong, for the operator.
pub fn settings<G: Guard>(text: &str) -> Result<G::Settings, String> {
    let text = text.trim();
    if text.is_empty() || text == "{}" {
        return Ok(G::Settings::default());
    }
    // serde would take the fields of a struct from an array too.
    if !text.starts_with('{') {
        return Err("the settings are not a JSON object".into());
    }
    let settings = serde_json::from_str(text).map_err(|error| error.to_string())?;
    G::check(&settings).map(|()| settings)
}

/// Makes a component of a guard. Natively this does nothing.
#[macro_export]
macro_rules! export {
    ($guard:ident) => {
        #[cfg(target_family = "wasm")]
        #[expect(unsafe_code, missing_docs, reason = "generated code crosses the boundary of the component")]
        mod dunnage_guard_component {
            type Component = $crate::Exported<super::$guard>;
            $crate::bindings::export!(Component with_types_in $crate::bindings);
        }
    };
}
