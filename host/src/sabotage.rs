//! Mistakes on purpose, so that the harness of faults can show that it finds such (`tests/faults`).
//! Look for the constant to see them all.

/// Whether this build makes them. That takes the feature and a variable while building, so that
/// `--all-features` alone is no way to ship them.
pub(crate) const SABOTAGED: bool = cfg!(feature = "sabotage") && option_env!("DUNNAGE_SABOTAGE").is_some();
