//! What a policy can do, and what it cannot: the guest really decides, and a hostile one gets
//! nowhere (rules 2 to 7 of the design).

mod crafted;
mod decisions;
mod files;
mod identifiers;
mod limits;
mod refusals;
mod shims;
