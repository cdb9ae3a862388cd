//! The records of a shim in its bundle: `address` and `shim.pid`. Both are untrusted.

use alloc::format;
use alloc::string::String;

use crate::address::path;
use crate::directory::Directory;

/// The prefix of an address that names a socket in the file system.
pub const UNIX: &str = "unix://";
/// What every abstract address of containerd starts with.
pub const ABSTRACT: &str = "/containerd-shim/";
/// The longest address, with its prefix, that containerd accepts (`sun_path` has 108 bytes).
const MAX_ADDRESS: usize = 106;
/// More than any record holds; what is larger is not read.
const MAX_RECORD: u64 = 4096;
/// The largest process id of Linux (`PID_MAX_LIMIT`, proc(5)).
const MAX_PID: u32 = 1 << 22;

/// Why a record cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault<E> {
    /// It cannot be read.
    Unreadable(E),
    /// Its content is not what such a record holds.
    Malformed(String),
}

/// What is on file; a missing record is `None`, and one that cannot be used does not affect the
/// other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records<E> {
    /// The shim's address.
    pub address: Result<Option<String>, Fault<E>>,
    /// The shim's process id.
    pub pid: Result<Option<u32>, Fault<E>>,
}

/// Reads both records.
pub fn read<D: Directory>(bundle: &D) -> Records<D::Error> {
    Records { address: address(bundle), pid: pid(bundle) }
}

/// Reads the file `address`. Similar to `loadAddress` of containerd.
///
/// # Errors
///
/// If it cannot be read, or holds something that is not an address.
pub fn address<D: Directory>(bundle: &D) -> Result<Option<String>, Fault<D::Error>> {
    let Some(text) = text(bundle, "address")? else { return Ok(None) };
    check_address(&text).map_err(|why| Fault::Malformed(why.into()))?;
    Ok(Some(text))
}

fn check_address(address: &str) -> Result<(), &'static str> {
    if address.is_empty() {
        return Err("it is empty");
    }
    if address.len() > MAX_ADDRESS {
        return Err("it is longer than 106 bytes");
    }
    if address.chars().any(char::is_control) {
        return Err("it contains control characters");
    }
    match address.strip_prefix(UNIX) {
        Some(socket) if !socket.starts_with('/') => Err("its path is not absolute"),
        Some(socket) if path::clean(socket) != socket => Err("its path is not clean"),
        Some(_) => Ok(()),
        None if address.starts_with(ABSTRACT) => Ok(()),
        None => Err("it is neither a unix:// path nor an abstract name of containerd"),
    }
}

/// Reads the file `shim.pid`: a decimal number, without a newline as containerd writes it, or with
/// one.
fn pid<D: Directory>(bundle: &D) -> Result<Option<u32>, Fault<D::Error>> {
    let Some(text) = text(bundle, "shim.pid")? else { return Ok(None) };
    let digits = text.strip_suffix('\n').unwrap_or(&text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<u32>() {
        Ok(pid @ 1..=MAX_PID) if plain => Ok(Some(pid)),
        _ => Err(Fault::Malformed("it is not a process id".into())),
    }
}

fn text<D: Directory>(bundle: &D, name: &str) -> Result<Option<String>, Fault<D::Error>> {
    match bundle.read_file_at(name, MAX_RECORD).map_err(Fault::Unreadable)? {
        None => Ok(None),
        Some(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                Err(Fault::Malformed(format!("it is not UTF-8, starting at byte {at}")))
            }
        },
    }
}

#[cfg(test)]
mod tests;
