//! Specs to test with.

use std::path::PathBuf;

use dunnage::Spec;

/// The path of a file in `tests/data`.
pub fn data(name: &str) -> PathBuf {
    crate::scratch::repository().join("tests/data").join(name)
}

/// A real spec without a user namespace.
pub fn plain() -> Spec {
    file("plain.json")
}

/// A real spec that maps GID 0 to 100000.
pub fn userns() -> Spec {
    file("userns.json")
}

/// A spec in `tests/data`.
pub fn file(name: &str) -> Spec {
    Spec::read_file(data(name), u64::MAX).expect("a spec")
}

/// A spec from text.
pub fn text(json: &str) -> Spec {
    Spec::new(json.as_bytes())
}

/// A small spec that maps a container id to a host id.
pub fn mapping(container: u32, host: u32) -> Spec {
    text(&format!(r#"{{"linux":{{"gidMappings":[{{"containerID":{container},"hostID":{host},"size":1}}]}}}}"#))
}
