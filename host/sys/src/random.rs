//! Random bytes of the kernel: getrandom(2).

use rustix::rand::{GetRandomFlags, getrandom};

/// `N` bytes that cannot be guessed.
pub fn random<const N: usize>() -> rustix::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(bytes)
}
