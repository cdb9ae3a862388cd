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

/// The name of the program of a process (proc_pid_comm(5)).
#[must_use]
pub fn program_name(pid: u32) -> Option<Vec<u8>> {
    read_of(pid, "comm").ok().flatten()
}

/// The parent of a process; `None` if it is gone.
#[must_use]
pub fn parent_of(pid: u32) -> Option<u32> {
    // Field 4 of proc_pid_stat(5).
    fields_of(pid).ok()??.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Whether a process is the first one of a pid namespace, with which the kernel ends all others
/// (pid_namespaces(7)); `false` if the kernel does not report it.
#[must_use]
pub fn is_first_of_pid_namespace(pid: u32) -> bool {
    Status::of(pid).is_some_and(|status| status.is_first_of_pid_namespace())
}

/// Whether the kernel keeps a signal from a process: it is the first one of a pid namespace and does not
/// handle it (pid_namespaces(7)). To ignore a signal is the process's own decision.
#[must_use]
pub fn is_kept_from(pid: u32, signal: u32) -> bool {
    let Some(status) = Status::of(pid) else { return false };
    // A process that has ended handles no signals any more, which says nothing about what it did before.
    let has_ended = status.field("State:").is_none_or(|state| state.starts_with(['Z', 'X']));
    let contains = |set| status.mask(set).unwrap_or(u64::MAX) & (1 << signal.saturating_sub(1)) != 0;
    !has_ended && status.is_first_of_pid_namespace() && !contains("SigCgt:") && !contains("SigIgn:")
}

/// Whether a process ignores a signal (`SIG_IGN` of signal(7)).
pub fn ignores(pid: u32, signal: u32) -> bool {
    let ignored = Status::of(pid).and_then(|status| status.mask("SigIgn:")).unwrap_or_default();
    ignored & (1 << signal.saturating_sub(1)) != 0
}

/// The fields of a process's `status` (proc_pid_status(5)).
struct Status(String);

impl Status {
    fn of(pid: u32) -> Option<Self> {
        read_of(pid, "status").ok().flatten().map(|status| Self(String::from_utf8_lossy(&status).into_owned()))
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
    }

    fn mask(&self, name: &str) -> Option<u64> {
        self.field(name).and_then(|set| u64::from_str_radix(set, 16).ok())
    }

    /// It has an id in each namespace, from ours inwards: 1 in the innermost, which is not ours.
    fn is_first_of_pid_namespace(&self) -> bool {
        let mut ids = self.field("NSpid:").unwrap_or_default().split_ascii_whitespace();
        ids.next().is_some() && ids.next_back() == Some("1")
    }
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
    Status(std::fs::read_to_string(format!("{process}/status")).ok()?).mask("CapPrm:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_from_an_ordinary_process() {
        let own = std::process::id();
        assert!(!is_first_of_pid_namespace(own) && !is_kept_from(own, 15));
        assert!(!is_first_of_pid_namespace(u32::MAX) && !is_kept_from(u32::MAX, 15));
    }

    #[test]
    fn the_first_of_a_pid_namespace_is_known_from_its_ids() {
        let status = |ids: &str| Status(format!("Name:\tx\nNSpid:\t{ids}\n"));
        assert!(status("4711\t1").is_first_of_pid_namespace());
        assert!(status("4711\t7\t1").is_first_of_pid_namespace());
        assert!(!status("1").is_first_of_pid_namespace());
        assert!(!status("4711\t12").is_first_of_pid_namespace());
    }
}
