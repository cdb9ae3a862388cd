//! Landlock, capabilities and filters concern the calling thread: each test gives one up.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use libc::*;
use rustix::io::Errno;

use super::{AllowedPaths, ConfinementReport, Profile, confine};

/// What no command may do. With all arguments zero they do no harm where they are allowed.
const DENIED: [c_long; 46] = [
    SYS_execve,
    SYS_execveat,
    SYS_ptrace,
    SYS_mount,
    SYS_umount2,
    SYS_bpf,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_unshare,
    SYS_setns,
    SYS_pivot_root,
    SYS_chroot,
    SYS_keyctl,
    SYS_add_key,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_pidfd_getfd,
    SYS_pidfd_send_signal,
    SYS_kill,
    SYS_tkill,
    SYS_userfaultfd,
    SYS_perf_event_open,
    SYS_reboot,
    SYS_swapon,
    SYS_setuid,
    SYS_setgroups,
    SYS_capset,
    SYS_seccomp,
    SYS_clone,
    SYS_clone3,
    SYS_fsopen,
    SYS_fsmount,
    SYS_move_mount,
    SYS_open_tree,
    SYS_mount_setattr,
    SYS_mknodat,
    SYS_symlinkat,
    SYS_linkat,
    SYS_syslog,
];

fn call(number: c_long, first: c_long, second: c_long) -> Result<c_long, Errno> {
    #[expect(unsafe_code, reason = "calls that must fail have no wrapper")]
    // SAFETY: the kernel takes any numbers; no pointer among them is valid, so nothing is written.
    let result = unsafe { syscall(number, first, second, 0, 0, 0, 0) };
    if result < 0 { Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap()) } else { Ok(result) }
}

/// Does something on a thread that is confined.
fn confined<T: Send>(profile: &Profile, directory: &Path, work: impl FnOnce(&ConfinementReport) -> T + Send) -> T {
    let (state, root, socket_root) = (directory.join("state"), directory.join("root"), directory.join("sockets"));
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let paths =
                AllowedPaths { state: &state, root: &root, socket_root: &socket_root, policy: None, log_dir: None };
            let report = confine(&paths, profile);
            work(&report)
        });
        thread.join().unwrap()
    })
}

/// Whether this kernel can do all of a part. Where that was promised (`CI=true`) it has to; elsewhere
/// the test says that it is skipped.
fn possible(part: &str) -> bool {
    let scratch = tempfile::tempdir().unwrap();
    let report = confined(&Profile::NOTHING, scratch.path(), Clone::clone);
    let whole = report.by.iter().any(|by| by.starts_with(part) && !by.contains("as far as"));
    assert!(whole || std::env::var("CI").as_deref() != Ok("true"), "{report}");
    if !whole {
        eprintln!("skipped: this kernel lacks {part}: {report}");
    }
    whole
}

/// Every profile, and the one that some commands widen.
fn all() -> impl Iterator<Item = Profile> {
    Profile::ALL.into_iter().chain([Profile::ASKING.with_abstract_sockets(true)])
}

#[test]
fn denied_calls_fail() {
    if !possible("seccomp") {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    for profile in all() {
        let needs = profile.name;
        confined(&profile, scratch.path(), |_| {
            for number in DENIED {
                assert_eq!(call(number, 0, 0), Err(Errno::NOSYS), "{needs}: system call {number}");
            }
            for family in [AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK] {
                let opened = call(SYS_socket, family.into(), SOCK_STREAM.into());
                assert_eq!(opened, Err(Errno::NOSYS), "{needs}: family {family}");
            }
            // Typing into a terminal, signals to others, a new process, limits.
            assert_eq!(call(SYS_ioctl, 0, 0x5412), Err(Errno::NOSYS), "{needs}");
            assert_eq!(call(SYS_tgkill, 1, 1), Err(Errno::NOSYS), "{needs}");
            assert_eq!(call(SYS_clone, SIGCHLD.into(), 0), Err(Errno::NOSYS), "{needs}");
            assert_eq!(call(SYS_prctl, PR_SET_DUMPABLE.into(), 1), Err(Errno::NOSYS), "{needs}");
            assert!(Command::new("/bin/true").spawn().is_err(), "{needs}");
            assert!(std::net::TcpListener::bind("127.0.0.1:0").is_err(), "{needs}");
            // And threads, which everything needs.
            std::thread::scope(|scope| scope.spawn(|| 1).join()).unwrap();
        });
    }
    // The control: it is the filter that answers.
    assert_ne!(call(SYS_mount, 0, 0), Err(Errno::NOSYS));
    assert!(Command::new("/bin/true").status().unwrap().success());
}

#[test]
fn files_elsewhere_cannot_be_opened() {
    if !possible("Landlock") {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    for path in ["state/default", "root/default", "elsewhere"] {
        std::fs::create_dir_all(scratch.path().join(path)).unwrap();
        std::fs::write(scratch.path().join(path).join("file"), "").unwrap();
    }
    let path = |path: &str| scratch.path().join(path);
    let denied = |result: std::io::Result<File>| result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    for profile in all() {
        let needs = profile.name;
        confined(&profile, scratch.path(), |_| {
            for elsewhere in [Path::new("/etc/passwd"), Path::new("/dev/null"), &path("elsewhere/file")] {
                assert!(denied(File::open(elsewhere)), "{needs}: {}", elsewhere.display());
            }
            assert!(denied(File::create(path("elsewhere/new"))), "{needs}");
            assert!(denied(File::open("/proc/1/environ")), "{needs}");
            let reads = !matches!(needs, "nothing" | "recording" | "following");
            assert_eq!(File::open(path("root/default/file")).is_ok(), reads, "{needs}");
            let writes = matches!(
                needs,
                "creating" | "cycling" | "recording" | "starting" | "running" | "deleting" | "removing" | "controlling"
            );
            let opened = File::options().write(true).open(path("state/default/file"));
            assert_eq!(opened.is_ok(), writes, "{needs}");
        });
    }
}
