//! The messages and the service of the shim, generated from `proto/`.

include!(concat!(env!("OUT_DIR"), "/shim_protocol/modules.rs"));
