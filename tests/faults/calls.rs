//! The system calls that faults are injected into, and the errors that each may return.

/// A kind of system call, with the errors that it is made to return.
#[derive(Debug)]
pub(crate) struct CallKind {
    /// As strace calls it.
    pub(crate) call: &'static str,
    /// As errno(3) calls them.
    pub(crate) errors: &'static [&'static str],
}

const fn kind(call: &'static str, errors: &'static [&'static str]) -> CallKind {
    CallKind { call, errors }
}

/// `ENOSYS` is for calls that a kernel or a seccomp profile may hide and that programs do without.
pub(crate) const KINDS: [CallKind; 34] = [
    kind("mkdirat", &["ENOSPC", "EIO", "EACCES", "EPERM", "EROFS"]),
    kind("openat", &["EIO", "EACCES", "EPERM", "EMFILE", "EROFS", "ENOSPC", "EINTR"]),
    kind("openat2", &["EIO", "EACCES", "EPERM", "EMFILE", "EROFS", "ENOSPC", "EINTR", "ENOSYS"]),
    kind("fchown", &["EIO", "EPERM", "EROFS", "EINTR"]),
    kind("fchownat", &["EIO", "EPERM", "EROFS", "EINTR"]),
    kind("fchmod", &["EIO", "EPERM", "EROFS", "EINTR"]),
    kind("fchmodat", &["EIO", "EPERM", "EROFS", "EINTR"]),
    kind("fchmodat2", &["EIO", "EPERM", "EROFS", "EINTR", "ENOSYS"]),
    kind("write", &["ENOSPC", "EIO", "EINTR"]),
    kind("writev", &["ENOSPC", "EIO", "EINTR"]),
    kind("pwrite64", &["ENOSPC", "EIO", "EINTR"]),
    kind("copy_file_range", &["ENOSPC", "EIO", "EINTR", "ENOSYS"]),
    kind("close", &["EIO", "EINTR", "ENOSPC"]),
    kind("rename", &["ENOSPC", "EIO", "EACCES", "EPERM", "EROFS"]),
    kind("renameat", &["ENOSPC", "EIO", "EACCES", "EPERM", "EROFS"]),
    kind("renameat2", &["ENOSPC", "EIO", "EACCES", "EPERM", "EROFS", "ENOSYS"]),
    kind("link", &["ENOSPC", "EIO", "EACCES", "EPERM", "EROFS"]),
    kind("linkat", &["ENOSPC", "EIO", "EACCES", "EPERM", "EROFS"]),
    kind("unlink", &["EIO", "EACCES", "EPERM", "EROFS"]),
    kind("unlinkat", &["EIO", "EACCES", "EPERM", "EROFS"]),
    kind("fsync", &["ENOSPC", "EIO", "EINTR"]),
    kind("fdatasync", &["ENOSPC", "EIO", "EINTR"]),
    kind("flock", &["EIO", "EINTR", "ENOSYS"]),
    kind("mount", &["EIO", "EACCES", "EPERM", "EINTR"]),
    kind("umount2", &["EIO", "EACCES", "EPERM", "EINTR"]),
    kind("socket", &["EACCES", "EPERM", "EMFILE"]),
    kind("bind", &["EIO", "EACCES", "EROFS", "ENOSPC"]),
    kind("connect", &["EACCES", "EPERM", "EINTR"]),
    kind("sendmsg", &["EIO", "EPERM", "EINTR"]),
    kind("sendto", &["EIO", "EPERM", "EINTR"]),
    kind("clone", &["EAGAIN", "EPERM"]),
    kind("clone3", &["EAGAIN", "EPERM", "ENOSYS"]),
    kind("vfork", &["EAGAIN", "EPERM"]),
    kind("execve", &["EIO", "EACCES", "EPERM", "EMFILE"]),
];

/// All of them, for strace to trace; it need not know every one.
pub(crate) fn all() -> String {
    KINDS.iter().map(|kind| format!("?{}", kind.call)).collect::<Vec<_>>().join(",")
}

/// Whether an error that strace returns for a call is one that the kernel might.
///
/// An eventfd lies on no disk and is never waited for here. And a `close` that fails has closed
/// nevertheless, which strace cannot do: a process may wait for ever for the end of a pipe or a
/// socket that stays open. (With files and directories it can be tried: nothing waits for those.
/// But nothing of `/proc` has ever to be written back.)
pub(crate) fn may_fail(call: &str) -> bool {
    let on = |what: &str| call.contains(what);
    !(call.starts_with("write(") && on("<anon_inode:[eventfd]>"))
        && !(call.starts_with("close(") && (on("<socket:[") || on("<pipe:[") || on("</proc/")))
}

/// Whether a message names an error: by its number, or, if the policy met it, in its words.
pub(crate) fn is_named(error: &str, message: &str) -> bool {
    let (number, words) = match error {
        "ENOSPC" => (libc::ENOSPC, "no space left"),
        "EIO" => (libc::EIO, "(os error 5)"),
        "EACCES" => (libc::EACCES, ": permission denied"),
        "EPERM" => (libc::EPERM, ": not permitted"),
        "EROFS" => (libc::EROFS, "the file system is read-only"),
        "EMFILE" => (libc::EMFILE, "(os error 24)"),
        "EINTR" => (libc::EINTR, "(os error 4)"),
        "ENOSYS" => (libc::ENOSYS, ": unsupported"),
        "EAGAIN" => (libc::EAGAIN, "(os error 11)"),
        _ => panic!("which error is {error}?"),
    };
    message.contains(&format!("(os error {number})")) || message.contains(words)
}
