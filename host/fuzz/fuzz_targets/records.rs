//! The files `address` and `shim.pid`, with any content.

#![no_main]

mod reference;

use dunnage_policy::address::{self, ConnectError, Endpoint, Node};
use dunnage_policy::directory::Directory;
use dunnage_policy::records::{self, Fault};
use libfuzzer_sys::fuzz_target;

const SOCKET_ROOT: &str = "/run/containerd//s/.";
const LEGACY: &str = "/containerd-shim/default/web-1/shim.sock";

/// A bundle with two files of the same content, or without files.
struct Bundle<'a>(Option<&'a [u8]>);

impl Directory for Bundle<'_> {
    type Error = ();

    fn set_group(&self, _: u32) -> Result<(), ()> {
        unreachable!("reading changes nothing")
    }

    fn set_mode(&self, _: u32) -> Result<(), ()> {
        unreachable!("reading changes nothing")
    }

    fn create_directory_at(&self, _: &str, _: u32) -> Result<(), ()> {
        unreachable!("reading changes nothing")
    }

    fn write_spec_at(&self, _: &str, _: u32, _: Option<u32>) -> Result<(), ()> {
        unreachable!("reading changes nothing")
    }

    fn read_file_at(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, ()> {
        assert!(matches!(name, "address" | "shim.pid") && limit <= 4096);
        let Some(content) = self.0 else { return Ok(None) };
        if content.len() as u64 > limit { Err(()) } else { Ok(Some(content.to_owned())) }
    }
}

fn is_address(text: &str) -> bool {
    let fits = text.len() <= 106 && !text.chars().any(char::is_control);
    let is_path = |path: &str| path.starts_with('/') && reference::clean(path) == path;
    fits && (text.starts_with("/containerd-shim/") || text.strip_prefix("unix://").is_some_and(is_path))
}

fn process(content: &[u8]) -> Option<u32> {
    let digits = content.strip_suffix(b"\n").unwrap_or(content);
    let value = digits.iter().try_fold(0_u64, |value, digit| {
        digit.is_ascii_digit().then(|| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })?;
    u32::try_from(value).ok().filter(|pid| (1..=4_194_304).contains(pid))
}

fuzz_target!(|content: &[u8]| {
    let bundle = Bundle(Some(content));
    let found = records::read(&bundle);
    let node = Node { daemon: "/run/containerd/containerd.sock", socket_root: SOCKET_ROOT };
    let connect = |bundle: &Bundle<'_>, legacy| address::connect(bundle, "default", "web-1", node, legacy);
    assert_eq!(connect(&Bundle(None), true), Ok(Endpoint::Abstract(LEGACY.into())));
    assert_eq!(connect(&Bundle(None), false), Err(ConnectError::NoAddress));

    if content.len() > 4096 {
        assert_eq!((found.address, found.pid), (Err(Fault::Unreadable(())), Err(Fault::Unreadable(()))));
        return;
    }
    match found.pid {
        Ok(pid) => assert!(pid.is_some() && pid == process(content)),
        Err(_) => assert_eq!(process(content), None),
    }
    let text = std::str::from_utf8(content).ok().filter(|text| is_address(text));
    assert_eq!(found.address.ok().flatten().as_deref(), text);

    // No content leads to a socket elsewhere, and none to the legacy address.
    let (strict, lax) = (connect(&bundle, false), connect(&bundle, true));
    match text.map(|text| (text, text.strip_prefix("unix:///run/containerd/s/"))) {
        Some((text, Some(name))) if !name.contains('/') => {
            assert_eq!((strict, lax), (Ok(Endpoint::Path(text.into())), Ok(Endpoint::Path(text.into()))));
        }
        Some((text, _)) if !text.starts_with("unix://") => {
            assert_eq!(strict, Err(ConnectError::LegacyRefused(text.into())));
            assert_eq!(lax, Ok(Endpoint::Abstract(text.into())));
        }
        _ => assert!(matches!((strict, lax), (Err(ConnectError::Record(_)), Err(ConnectError::Record(_))))),
    }
});
