//! The signals that a process may get from others.

/// The signals that end a process which does nothing about them and that do not concern its own
/// faults, its terminal or its descriptors, and the real-time signals.
pub fn ordinary_signals() -> impl Iterator<Item = i32> {
    const NAMED: [i32; 13] = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGALRM,
        libc::SIGTERM,
        libc::SIGSTKFLT,
        libc::SIGXCPU,
        libc::SIGXFSZ,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGPWR,
    ];
    NAMED.into_iter().chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
}
