//! Pages on the whole of Dunnage.

#[doc = include_str!("docs/architecture.md")]
pub mod architecture {}

#[doc = include_str!("docs/confinement.md")]
pub mod confinement {}

#[doc = include_str!("docs/defects.md")]
pub mod defects {}

#[doc = include_str!("docs/deviations.md")]
pub mod deviations {}

#[doc = include_str!("docs/guarantees.md")]
pub mod guarantees {}

#[doc = include_str!("docs/guards.md")]
pub mod guards {}

#[doc = include_str!("docs/kernel_features.md")]
pub mod kernel_features {}

#[doc = include_str!("docs/performance.md")]
pub mod performance {}

#[doc = include_str!("docs/policy_authoring.md")]
pub mod policy_authoring {}

#[doc = include_str!("docs/threats.md")]
pub mod threats {}

#[doc = include_str!("docs/unsafe_code.md")]
pub mod unsafe_code {}
