//! Which guards are asked, and how.

use dunnage_core::{Error, ErrorKind, Result, Step};
use serde::Deserialize;

/// The name of the guard that Dunnage ships.
pub const SHIPPED: &str = "baseline";
/// The longest name.
const MAX_NAME: usize = 64;

/// Where a guard comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuardSource {
    /// The guard `baseline` that Dunnage ships.
    Shipped,
}

/// What the answer of a guard is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// What it denies is denied.
    #[default]
    Enforce,
    /// What it would deny is logged, and so is that it fails.
    Audit,
}

impl Mode {
    /// Its name, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Audit => "audit",
        }
    }
}

/// A guard that is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuardConfig {
    /// What it is called here: letters, digits and dashes.
    pub name: String,
    /// Where it comes from.
    pub source: GuardSource,
    /// The digest that its component must have, as `sha256:` and 64 hex digits; `None` for any.
    pub digest: Option<String>,
    /// What is set for it, as JSON.
    pub settings: String,
    /// What its answer is worth.
    pub mode: Mode,
}

impl GuardConfig {
    /// The guard that Dunnage ships, with its default settings.
    #[must_use]
    pub fn shipped() -> Self {
        Self {
            name: SHIPPED.to_owned(),
            source: GuardSource::Shipped,
            digest: None,
            settings: "{}".to_owned(),
            mode: Mode::Enforce,
        }
    }

    /// Refuses a name that could not be one in a file, a log or a table.
    pub(crate) fn check_name(&self) -> Result<()> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if (1..=MAX_NAME).contains(&self.name.len()) && self.name.bytes().all(is_plain) {
            return Ok(());
        }
        let shown: String = self.name.chars().take(MAX_NAME).collect();
        let message = format!("{shown:?} is not a name of a guard: use up to {MAX_NAME} letters, digits and dashes");
        Err(Error::new(ErrorKind::InvalidConfig, Step::LoadGuard, message))
    }
}
