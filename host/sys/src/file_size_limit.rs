//! The limit on the size of files (`RLIMIT_FSIZE` of getrlimit(2)).

/// Makes a write beyond the limit fail with `EFBIG`, as on a full disk: by default `SIGXFSZ` ends
/// the process half-way, and what it has begun stays.
pub fn survive_file_size_limit() {
    extern "C" fn nothing(_: libc::c_int) {}
    let handler = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    #[expect(unsafe_code, reason = "signal handlers have no safe interface")]
    // SAFETY: the handler does nothing, which is async-signal-safe. (One that is ignored would stay
    // so in shims and containers; a handler does not outlive `exec`.)
    unsafe {
        libc::signal(libc::SIGXFSZ, handler)
    };
}
