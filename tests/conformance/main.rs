//! Conformance with the original: containerd's own cases (`runtime/v1/linux/bundle_test.go`), each
//! named after the test it comes from, what containerd reads in a spec, and where its shims listen.

mod addresses;
mod bundles;
mod readers;
mod start;
mod vectors;
