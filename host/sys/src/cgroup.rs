//! Putting a process where the operator wants it: a cgroup, and its place when memory runs out.

use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use crate::mount_table::mount_point;

/// The mount table of this process.
const MOUNTS: &str = "/proc/self/mountinfo";
/// The largest value of `oom_score_adj` (proc_pid_oom_score_adj(5)).
const MAX_OOM_SCORE: i32 = 1000;

/// Why a process cannot be put into a cgroup.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The path is empty, or leads out of the hierarchy.
    #[error("{0:?} is not a cgroup path")]
    Invalid(String),
    /// No hierarchy has such a cgroup.
    #[error("the cgroup {0:?} does not exist in any hierarchy; create it first")]
    Missing(String),
    /// A file cannot be read or written.
    #[error("cannot {action} {path}: {error}")]
    Failed {
        /// What was being done.
        action: String,
        /// The file.
        path: String,
        /// Why not.
        error: io::Error,
    },
}

impl CgroupError {
    fn failed(action: impl Into<String>, path: impl Into<String>, error: io::Error) -> Self {
        Self::Failed { action: action.into(), path: path.into(), error }
    }
}

/// The files through which a process joins a cgroup: one on a node with cgroup v2, one for each
/// hierarchy with cgroup v1 (cgroups(7)).
#[derive(Debug)]
pub struct Cgroup(Vec<PathBuf>);

impl Cgroup {
    /// Finds an existing cgroup by its path below the hierarchies, as containerd names it.
    pub fn find(path: &str) -> Result<Self, CgroupError> {
        let relative = Path::new(path.trim_start_matches('/'));
        if relative.as_os_str().is_empty() || relative.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(CgroupError::Invalid(path.to_owned()));
        }
        let table = std::fs::read(MOUNTS).map_err(|error| CgroupError::failed("read", MOUNTS, error))?;
        let files: Vec<_> = hierarchies(&table)
            .map(|hierarchy| hierarchy.join(relative).join("cgroup.procs"))
            .filter(|procs| procs.is_file())
            .collect();
        if files.is_empty() {
            return Err(CgroupError::Missing(path.to_owned()));
        }
        Ok(Self(files))
    }

    /// Moves a process there, with all its threads.
    pub fn add(&self, pid: u32) -> Result<(), CgroupError> {
        self.0.iter().try_for_each(|file| {
            let failed = |error| CgroupError::failed(format!("add process {pid} to"), file.to_string_lossy(), error);
            std::fs::write(file, pid.to_string()).map_err(failed)
        })
    }
}

/// The mount points of the cgroup hierarchies of either version.
fn hierarchies(table: &[u8]) -> impl Iterator<Item = PathBuf> + '_ {
    table.split(|byte| *byte == b'\n').filter_map(|line| {
        let text = String::from_utf8_lossy(line);
        let kind = text.split_once(" - ")?.1.split(' ').next()?;
        if kind == "cgroup" || kind == "cgroup2" { mount_point(line) } else { None }
    })
}

/// What a hierarchy controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controller {
    /// Memory, in a hierarchy of version 1.
    Memory,
    /// Everything: version 2.
    Unified,
}

/// The mount points of the hierarchies that have a controller.
pub(crate) fn hierarchies_of(table: &[u8], controller: Controller) -> impl Iterator<Item = PathBuf> + '_ {
    table.split(|byte| *byte == b'\n').filter_map(move |line| {
        let text = String::from_utf8_lossy(line);
        let mut fields = text.split_once(" - ")?.1.split(' ');
        let (kind, options) = (fields.next()?, fields.nth(1).unwrap_or_default());
        let has_it = match controller {
            Controller::Memory => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
            Controller::Unified => kind == "cgroup2",
        };
        if has_it { mount_point(line) } else { None }
    })
}

/// Makes the kernel end a process a little earlier than us when memory runs out, but long before
/// what runs below it: `oom_score_adj` = ours + 1.
pub fn adjust_oom_score(pid: u32) -> Result<(), CgroupError> {
    const OURS: &str = "/proc/self/oom_score_adj";
    let ours = std::fs::read_to_string(OURS).map_err(|error| CgroupError::failed("read", OURS, error))?;
    let score = ours.trim().parse::<i32>().unwrap_or(0).saturating_add(1).min(MAX_OOM_SCORE);
    let file = format!("/proc/{pid}/oom_score_adj");
    match std::fs::write(&file, score.to_string()) {
        // It has ended by itself; the caller that waits for its answer reports that.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::SRCH)) => Ok(()),
        written => written.map_err(|error| CgroupError::failed("write", file, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let table = b"31 25 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            32 31 0:28 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n\
            33 31 0:29 / /sys/fs/c\\040group/memory rw - cgroup cgroup rw,memory\n";
        let found: Vec<_> = hierarchies(table).collect();
        assert_eq!(found, ["/sys/fs/cgroup/unified", "/sys/fs/c group/memory"].map(PathBuf::from));
    }

    #[test]
    fn controllers_are_told_apart() {
        let table = b"32 31 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            33 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            34 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let found = |controller| hierarchies_of(table, controller).collect::<Vec<_>>();
        assert_eq!(found(Controller::Memory), [PathBuf::from("/sys/fs/cgroup/memory")]);
        assert_eq!(found(Controller::Unified), [PathBuf::from("/sys/fs/cgroup/unified")]);
    }

    #[test]
    fn paths_that_lead_nowhere_are_refused() {
        for path in ["", "/", "../x", "a/../b"] {
            assert!(matches!(Cgroup::find(path), Err(CgroupError::Invalid(_))), "{path:?}");
        }
        assert!(matches!(Cgroup::find("/no/such/cgroup"), Err(CgroupError::Missing(_))));
    }
}
