//! POSIX ACLs that a new directory inherits from its parent.

use std::os::fd::BorrowedFd;

use rustix::fs::{flistxattr, fremovexattr};
use rustix::io::Errno;

/// Removes inherited ACLs: the mode of a file alone decides who may access it.
///
/// A default ACL on a parent gives named users access to what is made below it, whatever mode is
/// asked for, and passes itself on.
pub(crate) fn remove_inherited(fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let mut names = [0_u8; 1024];
    let unlisted = match flistxattr(fd, &mut names) {
        Ok(count) => {
            let listed = names.get(..count).unwrap_or_default();
            !listed.split(|byte| *byte == 0).any(|name| name.starts_with(b"system.posix_acl_"))
        }
        Err(Errno::RANGE) => false,
        Err(Errno::NOTSUP | Errno::NOSYS) => true,
        Err(errno) => return Err(errno),
    };
    if unlisted {
        return Ok(());
    }
    for name in [c"system.posix_acl_default", c"system.posix_acl_access"] {
        match fremovexattr(fd, name) {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP | Errno::NOSYS) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
