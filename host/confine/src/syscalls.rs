//! Which system calls are left: seccomp(2), by a list of those that are allowed.
//!
//! A list of what is forbidden would be out of date with the next kernel. One of what is allowed
//! can break with the next C library, so it holds more than one library uses: what reads, what
//! concerns memory, time and threads of this process, in old and new forms. Nothing in it starts a
//! program (`execve`, `fork`), looks into or signals another process (`ptrace`, `process_vm_*`,
//! `pidfd_getfd`, `kill`), mounts, opens by number (`open_by_handle_at`), reaches a network, or
//! belongs to the calls by which kernels were broken (`bpf`, `io_uring`, `userfaultfd`, `keyctl`,
//! `kexec`, modules, namespaces).

use std::collections::BTreeMap;

use libc::{c_long, *};

use crate::{Profile, bpf};

/// Calls with checks of their arguments, of which one must hold; without any they are allowed as
/// they are.
pub(crate) type Calls = BTreeMap<c_long, Vec<Check>>;

/// What an argument must be: this value, where the mask has its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) argument: u8,
    pub(crate) mask: u64,
    pub(crate) value: u64,
}

/// What every command needs: memory, threads, time, and reading.
pub(crate) const BASE: &[c_long] = &[
    SYS_brk,
    SYS_madvise,
    SYS_mmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_munmap,
    SYS_membarrier,
    SYS_memfd_create,
    SYS_exit,
    SYS_exit_group,
    SYS_futex,
    SYS_get_robust_list,
    SYS_set_robust_list,
    SYS_set_tid_address,
    SYS_rseq,
    SYS_sched_getaffinity,
    SYS_sched_yield,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_restart_syscall,
    SYS_clock_getres,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_gettimeofday,
    SYS_nanosleep,
    SYS_getegid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getuid,
    SYS_getpid,
    SYS_gettid,
    SYS_getrandom,
    SYS_getcpu,
    SYS_uname,
    SYS_getcwd,
    SYS_openat,
    SYS_openat2,
    SYS_close,
    SYS_close_range,
    SYS_dup,
    SYS_dup3,
    SYS_fcntl,
    SYS_flock,
    SYS_read,
    SYS_readv,
    SYS_pread64,
    SYS_preadv,
    SYS_write,
    SYS_writev,
    SYS_pwrite64,
    SYS_lseek,
    SYS_getdents64,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_fstatfs,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_readlinkat,
    SYS_flistxattr,
    SYS_fgetxattr,
    SYS_ppoll,
];

/// Their older forms, which newer machines do not have.
#[cfg(target_arch = "x86_64")]
pub(crate) const OLD: &[c_long] = &[
    SYS_access,
    SYS_arch_prctl,
    SYS_dup2,
    SYS_lstat,
    SYS_open,
    SYS_poll,
    SYS_readlink,
    SYS_stat,
    SYS_time,
    SYS_epoll_wait,
];
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const OLD: &[c_long] = &[];

/// What waits for several things at once.
pub(crate) const WAITING: &[c_long] = &[
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_eventfd2,
    SYS_inotify_add_watch,
    SYS_inotify_init1,
    SYS_inotify_rm_watch,
    SYS_recvfrom,
    SYS_sendto,
];

/// What changes files.
pub(crate) const CHANGING: &[c_long] = &[
    SYS_mkdirat,
    SYS_unlinkat,
    SYS_renameat2,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchmodat2,
    SYS_fchown,
    SYS_fchownat,
    SYS_fremovexattr,
    SYS_fsetxattr,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_copy_file_range,
    SYS_fdatasync,
    SYS_fsync,
    SYS_umask,
    SYS_utimensat,
];

/// What talks to the broker, and to the runtime that it runs.
pub(crate) const BROKER: &[c_long] = &[SYS_pipe2, SYS_recvmsg, SYS_sendmsg, SYS_shutdown, SYS_wait4];

/// What talks to shims, once there is a socket.
pub(crate) const DIALLING: &[c_long] = &[
    SYS_connect,
    SYS_getpeername,
    SYS_getsockname,
    SYS_getsockopt,
    SYS_recvmsg,
    SYS_sendmsg,
    SYS_setsockopt,
    SYS_shutdown,
];

/// What listens for a shim.
pub(crate) const LISTENING: &[c_long] = &[SYS_bind, SYS_listen];

/// Leaves the calls of a profile to this thread, and so to all that it starts. Says how many they are.
pub(crate) fn restrict(profile: &Profile) -> Result<usize, Box<dyn std::error::Error>> {
    let calls = needed(profile);
    seccompiler::apply_filter(&bpf::compile(&calls)?)?;
    Ok(calls.len())
}

/// The calls of a profile.
pub(crate) fn needed(profile: &Profile) -> Calls {
    let lists = profile.calls;
    let mut calls: Calls = lists.iter().flat_map(|list| list.iter()).map(|call| (*call, Vec::new())).collect();
    calls.extend(restricted());
    if lists.contains(&WAITING) {
        calls.insert(SYS_socketpair, vec![equal(0, AF_UNIX)]);
    }
    if lists.contains(&DIALLING) {
        calls.insert(SYS_socket, vec![equal(0, AF_UNIX)]);
    }
    if lists.contains(&LISTENING) {
        // FIFOs, but no devices.
        calls.insert(SYS_mknodat, vec![Check { argument: 2, mask: S_IFMT.into(), value: S_IFIFO.into() }]);
    }
    if profile.terminal {
        // Our terminal goes into raw mode and back.
        calls.entry(SYS_ioctl).or_default().extend(any(1, &[TCSETS, TCSETSW, TCSETSF, TCSETS2, TCSETSW2, TCSETSF2]));
        // Whether it is ours at the moment.
        calls.entry(SYS_ioctl).or_default().push(equal(1, TIOCGPGRP));
        calls.extend([(SYS_getpgid, Vec::new())]);
        #[cfg(target_arch = "x86_64")]
        calls.extend([(SYS_getpgrp, Vec::new())]);
    }
    calls
}

/// Calls of which some uses are harmless.
fn restricted() -> Calls {
    let own = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
    let thread = u64::from(CLONE_THREAD.cast_unsigned());
    Calls::from([
        // Threads, but no processes.
        (SYS_clone, vec![Check { argument: 0, mask: thread, value: thread }]),
        // A library that gives up sends itself a signal.
        (SYS_tgkill, vec![equal(0, own)]),
        // Asking for a limit, not setting one: there is no pointer to a new one.
        (SYS_prlimit64, vec![Check { argument: 2, mask: u64::MAX, value: 0 }]),
        (SYS_prctl, any(0, &[PR_SET_NAME, PR_SET_VMA, PR_CAPBSET_READ, PR_GET_DUMPABLE])),
        // Whether it is a terminal and how wide; which pages were touched. Above all no `TIOCSTI`.
        (SYS_ioctl, any(1, &[TCGETS, TCGETS2, TIOCGWINSZ, FIOCLEX, FIONBIO, PAGEMAP_SCAN])),
    ])
}

const TCGETS: i32 = 0x5401;
const TCSETS: i32 = 0x5402;
const TCSETSW: i32 = 0x5403;
const TCSETSF: i32 = 0x5404;
const TIOCGPGRP: i32 = 0x540f;
const TIOCGWINSZ: i32 = 0x5413;
const FIONBIO: i32 = 0x5421;
const FIOCLEX: i32 = 0x5451;
/// `_IOR('T', 0x2a, struct termios2)`, of 44 bytes.
const TCGETS2: i32 = (0x802c_542a_u32).cast_signed();
/// `_IOW('T', 0x2b, struct termios2)` and the next two.
const TCSETS2: i32 = 0x402c_542b;
const TCSETSW2: i32 = 0x402c_542c;
const TCSETSF2: i32 = 0x402c_542d;
/// `_IOWR('f', 16, struct pm_scan_arg)`, of 96 bytes.
const PAGEMAP_SCAN: i32 = (0xc060_6610_u32).cast_signed();

fn any(argument: u8, values: &[i32]) -> Vec<Check> {
    values.iter().map(|value| equal(argument, *value)).collect()
}

/// An argument of 32 bits; the kernel ignores the bits above them.
fn equal(argument: u8, value: i32) -> Check {
    Check { argument, mask: u64::from(u32::MAX), value: value.cast_unsigned().into() }
}
