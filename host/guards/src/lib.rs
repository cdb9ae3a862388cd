//! The guards of a node: components that allow or deny what is about to run.
//!
//! [`Guards`] asks all that are configured, each in a fresh instance under limits (`dunnage-sandbox`),
//! and fails closed: one that denies, fails or cannot be loaded denies. What was decided goes into the
//! [`DecisionLog`]. This room starts nothing and parses no spec.

#![forbid(unsafe_code)]

mod config;
mod decision;
mod decision_log;
mod guards;

pub use self::config::{GuardConfig, GuardSource, Mode, SHIPPED};
pub use self::decision::{Answer, Decision, Review};
pub use self::decision_log::{DecisionLog, LoggedDecision};
pub use self::guards::{GuardReport, Guards};
