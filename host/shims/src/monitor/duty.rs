//! What a monitor does as long as its shim or the shim's container lives: it drains the shim's output,
//! keeps what the container writes, and tells of what the shim cannot tell of.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dunnage_core::BundleId;
use dunnage_events::{Event, EventLog, TASK_EXIT};
use dunnage_store::{ExitRecord, LockWait, TaskRecord};
use dunnage_sys::{Directory, DirectoryWatch, OomWatch, has_ended, open_child, reap_all_but, start_time, try_reap};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::ask;
use super::output::ContainerOutput;
use crate::cleanup::Cleanup;
use crate::shim_log::ShimLog;
use crate::spawn::{self, Started};

/// How long a shim may take to tell of the end of its container.
const TELL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often to look meanwhile.
const TELL_INTERVAL: Duration = Duration::from_millis(100);
/// How often orphans are reaped once the shim is gone.
const REAP_INTERVAL: Duration = Duration::from_secs(1);

/// The duty of a monitor.
pub(super) struct Duty {
    pub(super) id: BundleId,
    pub(super) events: EventLog,
    pub(super) cleanup: Cleanup,
    /// What the container writes, if that is to be kept.
    pub(super) output: Option<ContainerOutput>,
}

/// The container's init, once there is one.
struct Init {
    task: TaskRecord,
    process: OwnedFd,
    oom: Option<OomWatch>,
    /// When it was seen to have ended.
    ended: Option<Instant>,
}

impl Duty {
    fn records(&self) -> &Arc<Directory> {
        &self.cleanup.handles.records
    }

    /// Stays until the shim has ended, and its container too if the shim was killed under it.
    pub(super) fn run(mut self, mut started: Started) {
        let mut log = ShimLog::new(Arc::clone(self.records()));
        let changes = DirectoryWatch::new(self.records()).ok();
        let mut init = None;
        if let Ok(shim) = open_child(started.process.pid) {
            self.look_for_init(&mut init);
            while !has_ended(&shim) {
                let fds = [Some(shim.as_fd()), Some(started.stdout.as_fd()), Some(started.stderr.as_fd())];
                let changes = changes.as_ref();
                let fds = fds.into_iter().flatten().chain(changes.map(AsFd::as_fd));
                // Where nothing can be watched (there is a limit per user) it is looked at now and then.
                let soon = if init.as_ref().is_some_and(|init: &Init| init.ended.is_some()) {
                    Some(TELL_INTERVAL)
                } else {
                    changes.is_none().then_some(REAP_INTERVAL)
                };
                if self.wait(fds, init.as_ref(), soon).is_err() {
                    break;
                }
                let _ = changes.map(|changes| changes.wait(Duration::ZERO));
                let _ = spawn::drain(&started.stdout, &mut log);
                let _ = spawn::drain(&started.stderr, &mut log);
                self.look(&mut init);
                self.tell_in_place_of_shim(&mut init);
            }
        }
        let _ = started.child.wait();
        let _ = spawn::drain(&started.stdout, &mut log);
        let _ = spawn::drain(&started.stderr, &mut log);
        self.look_for_init(&mut init);
        self.cleanup.note(LockWait::patiently());
        self.outlive_shim(init);
    }

    /// Waits for the container of a shim that was killed: its init is a child of ours now.
    fn outlive_shim(&mut self, mut init: Option<Init>) {
        loop {
            self.look(&mut init);
            let Some(now) = &mut init else { break };
            if has_ended(&now.process) {
                // It was reaped by its shim, which had told of it, or it is ours.
                if let Ok(Some(status)) = try_reap(&now.process) {
                    let exit = Event::of_task(TASK_EXIT, &self.id).with_process(self.id.id(), Some(now.task.pid));
                    self.tell(&exit.with_exit(status, std::time::SystemTime::now()));
                }
                break;
            }
            // So do all other orphans become ours.
            reap_all_but(&HashSet::from([now.task.pid]));
            if self.wait(std::iter::empty(), init.as_ref(), Some(REAP_INTERVAL)).is_err() {
                break;
            }
        }
        if let Some(output) = &mut self.output {
            output.drain();
        }
    }

    /// Waits for one of these, for output of the container, for its end, or for it to run out of memory;
    /// at most for some time.
    fn wait<'a>(
        &'a self,
        fds: impl Iterator<Item = BorrowedFd<'a>>,
        init: Option<&'a Init>,
        most: Option<Duration>,
    ) -> rustix::io::Result<()> {
        let output = self.output.iter().flat_map(ContainerOutput::fds);
        let oom = init.and_then(|init| init.oom.as_ref()).map(AsFd::as_fd);
        // One that has ended is readable for ever.
        let process = init.filter(|init| init.ended.is_none()).map(|init| init.process.as_fd());
        let mut sources: Vec<_> =
            fds.chain(output).chain(oom).chain(process).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let most = most.and_then(|most| Timespec::try_from(most).ok());
        match poll(&mut sources, most.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Takes what has come.
    fn look(&mut self, init: &mut Option<Init>) {
        if let Some(output) = &mut self.output {
            output.drain();
        }
        self.look_for_init(init);
        let Some(init) = init else { return };
        if init.oom.as_mut().is_some_and(OomWatch::has_happened) {
            self.tell(&Event::of_task("/tasks/oom", &self.id).with_process(self.id.id(), Some(init.task.pid)));
        }
        if init.ended.is_none() && has_ended(&init.process) {
            init.ended = Some(Instant::now());
        }
    }

    /// A container was created, perhaps after an earlier one.
    fn look_for_init(&self, init: &mut Option<Init>) {
        let Ok(Some(task)) = TaskRecord::read(self.records()) else { return };
        if init.as_ref().is_some_and(|init| init.task.pid == task.pid) {
            return;
        }
        // One that was reaped already has told of its end, and its number may be another's by now.
        let process = open_child(task.pid).ok();
        let is_it = start_time(task.pid).is_ok_and(|ticks| ticks.is_some() && ticks == task.ticks);
        *init = process.filter(|_| is_it).map(|process| Init {
            oom: OomWatch::of_process(task.pid),
            task,
            process,
            ended: None,
        });
    }

    /// The shim runs a program of ours to tell of an end, which may have been replaced or removed.
    fn tell_in_place_of_shim(&self, init: &mut Option<Init>) {
        let Some(ended) = init.as_ref().and_then(|init| init.ended) else { return };
        let Some(task) = init.as_ref().map(|init| init.task) else { return };
        let is_told = ExitRecord::read(self.records()).is_ok_and(|exit| exit.is_some_and(|exit| exit.pid == task.pid));
        if !is_told && ended.elapsed() < TELL_TIMEOUT {
            return;
        }
        if !is_told && let Some((status, time)) = ask::exit_of(&self.cleanup, self.id.id()) {
            let exit = Event::of_task(TASK_EXIT, &self.id).with_process(self.id.id(), Some(task.pid));
            self.tell(&exit.with_exit(status, time));
        }
        // Nothing more is to be told of it.
        *init = None;
    }

    fn tell(&self, event: &Event) {
        if let Err(error) = self.events.tell(event) {
            tracing::warn!(%error, "cannot tell of {}", event.topic);
        }
    }
}
