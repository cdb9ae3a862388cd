//! What takes root: mounts, owners, other file systems, and attackers who are faster than us.
//!
//! All of it happens in mount namespaces of the tests' own.

mod attacks;
mod mounts;
mod owners;
mod places;
mod swaps;
