//! Which mount a handle lies in.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::io::Errno;

/// The id of the mount that a handle lies in: `statx(2)` since Linux 5.8, before that
/// `/proc/self/fdinfo`.
pub(crate) fn mount_id(fd: BorrowedFd<'_>) -> rustix::io::Result<u64> {
    if let Ok(stat) = statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
        && StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID)
    {
        return Ok(stat.stx_mnt_id);
    }
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).map_err(|_| Errno::NOSYS)?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:")).and_then(|id| id.trim().parse().ok()).ok_or(Errno::NOSYS)
}
