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

/// Keeps this thread from being stopped when it reads from or sets a terminal in the background: such
/// calls fail (`EIO`) or succeed instead (termios(3)).
pub fn block_terminal_stops() {
    #[expect(unsafe_code, reason = "there is no safe interface to signal masks")]
    // SAFETY: the set is initialised by `sigemptyset` before it is used, and lives on this stack; the mask
    // is this thread's own.
    unsafe {
        let mut stops = std::mem::MaybeUninit::uninit();
        libc::sigemptyset(stops.as_mut_ptr());
        libc::sigaddset(stops.as_mut_ptr(), libc::SIGTTIN);
        libc::sigaddset(stops.as_mut_ptr(), libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_BLOCK, stops.as_ptr(), std::ptr::null_mut());
    }
}
