//! Putting a shim where the operator wants it: a cgroup, and its place when memory runs out.

use std::path::{Component, Path, PathBuf};

use crate::error::{Error, ErrorKind, Result, Step};

/// The mount table of this process.
const MOUNTS: &str = "/proc/self/mountinfo";
/// The largest value of `oom_score_adj` (proc_pid_oom_score_adj(5)).
const MOST: i32 = 1000;

/// The files through which a process joins a cgroup: one on a node with cgroup v2, one for each
/// hierarchy with cgroup v1 (cgroups(7)).
#[derive(Debug)]
pub(super) struct Cgroup(Vec<PathBuf>);

impl Cgroup {
    /// Finds an existing cgroup by its path below the hierarchies, as containerd names it.
    pub(super) fn find(path: &str) -> Result<Self> {
        let relative = Path::new(path.trim_start_matches('/'));
        if relative.as_os_str().is_empty() || relative.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(failed(format!("{path:?} is no path of a cgroup")).with_kind(ErrorKind::InvalidConfig));
        }
        let table =
            std::fs::read_to_string(MOUNTS).map_err(|error| failed(format!("cannot read {MOUNTS}: {error}")))?;
        let files: Vec<_> = hierarchies(&table)
            .map(|hierarchy| hierarchy.join(relative).join("cgroup.procs"))
            .filter(|procs| procs.is_file())
            .collect();
        if files.is_empty() {
            return Err(failed(format!("there is no cgroup {path:?} in any hierarchy; make it first")));
        }
        Ok(Self(files))
    }

    /// Moves a process there, with all its threads.
    pub(super) fn add(&self, pid: u32) -> Result<()> {
        self.0.iter().try_for_each(|file| {
            std::fs::write(file, pid.to_string())
                .map_err(|error| failed(format!("cannot add process {pid} to {}: {error}", file.display())))
        })
    }
}

/// The mount points of the cgroup hierarchies of either version.
fn hierarchies(table: &str) -> impl Iterator<Item = PathBuf> + '_ {
    table.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let kind = file_system.split(' ').next()?;
        if kind != "cgroup" && kind != "cgroup2" {
            return None;
        }
        mount.split(' ').nth(4).map(PathBuf::from)
    })
}

/// Has the kernel end a shim a little earlier than us when memory runs out, but long before its
/// container: `oom_score_adj` = ours + 1.
pub(super) fn adjust_oom_score(pid: u32) -> Result<()> {
    let ours = std::fs::read_to_string("/proc/self/oom_score_adj")
        .map_err(|error| failed(format!("cannot read /proc/self/oom_score_adj: {error}")))?;
    let score = ours.trim().parse::<i32>().unwrap_or(0).saturating_add(1).min(MOST);
    let file = format!("/proc/{pid}/oom_score_adj");
    match std::fs::write(&file, score.to_string()) {
        // It has ended by itself, which is for those to tell who wait for its answer.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => {
            Ok(())
        }
        written => written.map_err(|error| failed(format!("cannot write {file}: {error}"))),
    }
}

fn failed(message: String) -> Error {
    Error::new(ErrorKind::Shim, Step::StartShim, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let table = "31 25 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            32 31 0:28 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n\
            33 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let found: Vec<_> = hierarchies(table).collect();
        assert_eq!(found, ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory"].map(PathBuf::from));
    }

    #[test]
    fn what_is_no_path_of_a_cgroup_is_refused() {
        for path in ["", "/", "../x", "a/../b"] {
            assert_eq!(Cgroup::find(path).unwrap_err().kind(), ErrorKind::InvalidConfig, "{path:?}");
        }
        assert_eq!(Cgroup::find("/no/such/cgroup").unwrap_err().kind(), ErrorKind::Shim);
    }
}
