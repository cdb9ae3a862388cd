//! What `/proc` shows of processes, and of the machine.

use std::fmt::Display;

use rustix::io::Errno;

use crate::{Failure, ProcessId, Result};

/// Whether a process has children; `false` if the kernel does not list them.
#[must_use]
pub fn has_children(pid: u32) -> bool {
    !children(pid).is_empty()
}

/// The children of a process (proc_pid_task_children(5)); none if the kernel does not list them. `self` is
/// the process that reads, whatever pid namespace `/proc` shows.
#[must_use]
pub fn children(process: impl Display) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// What `/proc` shows of a process; `None` if it is gone. Unknown is not gone.
pub(crate) fn read_of(pid: u32, file: &str) -> Result<Option<Vec<u8>>> {
    let path = format!("/proc/{pid}/{file}");
    match std::fs::read(&path) {
        Ok(content) => Ok(Some(content)),
        Err(error) => match Errno::from_io_error(&error).unwrap_or(Errno::IO) {
            Errno::NOENT | Errno::SRCH => Ok(None),
            errno => Err(Failure::new("read", path, errno)),
        },
    }
}

/// When a process was started, in clock ticks since the machine was (field 22 of
/// proc_pid_stat(5)): with its pid, and the boot, this names a process for good. `None` if it is
/// gone.
pub fn start_time(pid: u32) -> Result<Option<u64>> {
    Ok(fields_of(pid)?.and_then(|fields| started(&fields)))
}

/// Whether a process is still there, as far as `/proc` shows; a zombie is not.
pub fn is_there(process: ProcessId) -> Result<bool> {
    let fields = fields_of(process.pid)?;
    Ok(fields.is_some_and(|fields| !is_zombie(&fields) && started(&fields) == Some(process.started)))
}

/// Whether a process has ended and was not reaped yet, and its session.
pub(crate) fn zombie_and_session(pid: u32) -> Option<(bool, u32)> {
    let fields = fields_of(pid).ok()??;
    // Fields 3 (state) and 6 (session).
    let session = fields.split_ascii_whitespace().nth(3)?.parse().ok()?;
    Some((is_zombie(&fields), session))
}

/// Whether a process is the first one of a pid namespace, with which the kernel ends all others
/// (pid_namespaces(7)); `false` if the kernel does not report it.
#[must_use]
pub fn is_first_of_pid_namespace(pid: u32) -> bool {
    let status = read_of(pid, "status").ok().flatten().unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    // Its ids in each namespace from ours inwards.
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    ids.and_then(|ids| ids.split_whitespace().next_back()) == Some("1")
}

/// The fields of its `stat` from the third on. The second is the program's name in parentheses,
/// which may hold anything.
fn fields_of(pid: u32) -> Result<Option<String>> {
    let stat = read_of(pid, "stat")?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&stat).rsplit_once(')').map(|(_, fields)| fields.to_owned()))
}

fn is_zombie(fields: &str) -> bool {
    fields.trim_start().starts_with('Z')
}

fn started(fields: &str) -> Option<u64> {
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Which boot of the machine this is.
pub fn boot_id() -> Result<String> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let id = std::fs::read_to_string(PATH).map_err(|error| {
        Failure::new("read", PATH, Errno::from_io_error(&error).unwrap_or(Errno::IO)).with("is /proc mounted?")
    })?;
    Ok(id.trim().to_owned())
}

/// The permitted capabilities of a process (proc_pid_status(5)).
pub(crate) fn permitted(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("{process}/status")).ok()?;
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapPrm:"))?;
    u64::from_str_radix(capabilities.trim(), 16).ok()
}
