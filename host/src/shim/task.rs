//! The container of a bundle: what is on record about it, its streams, its output, its further processes.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dunnage_core::{BundleId, Error, ErrorKind, Incarnation, Result, Spec, Step, names};
use dunnage_events::{Event, EventLog, TASK_EXIT};
use dunnage_shims::{ExecOptions, OutputLog, TaskStreams, process_of};
use dunnage_store::{ExitRecord, Layout, RecordDir, ShimRecord, TaskRecord};
use dunnage_task_log::LogReader;

use crate::Dunnage;
use crate::manager::during;

/// What is on record about the container of a bundle, and stays when its shim is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskInfo {
    /// The host's id of its init, as long as it has a shim.
    pub pid: Option<u32>,
    /// When it was created.
    pub created: Option<SystemTime>,
    /// When it was started.
    pub started: Option<SystemTime>,
    /// How its init has ended: the exit status, or 128 and the number of a signal.
    pub exit_status: Option<u32>,
    /// When that was.
    pub ended: Option<SystemTime>,
}

impl Dunnage {
    /// What is on record about the container of a bundle. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without a bundle.
    pub fn task_info(&self, id: &BundleId) -> Result<TaskInfo> {
        let info = || {
            self.0.policy.check_identifiers(id)?;
            dunnage_bundles::open_bundle(&self.0, id)?;
            let Some(records) = RecordDir::open(&self.0.layout, id)? else { return Ok(TaskInfo::default()) };
            let task = TaskRecord::read(&records.directory)?;
            let exit = ExitRecord::read(&records.directory)?;
            // That of an earlier container does not count.
            let exit = exit.filter(|exit| task.is_none_or(|task| task.pid == exit.pid));
            Ok(TaskInfo {
                pid: task.map(|task| task.pid),
                created: task.map(|task| task.created),
                started: task.and_then(|task| task.started),
                exit_status: exit.map(|exit| exit.status),
                ended: exit.map(|exit| exit.time),
            })
        };
        info().map_err(during(|| format!("look at the container of {id}")))
    }

    /// Tells of the end of a container that has ended while nobody watched, as if it was killed. Of an end
    /// that was told of nothing is told again.
    ///
    /// # Errors
    ///
    /// If that cannot be written down.
    pub fn tell_unseen_end(&self, id: &BundleId) -> Result<()> {
        let tell = || {
            self.0.policy.check_identifiers(id)?;
            let Some(records) = RecordDir::open(&self.0.layout, id)? else { return Ok(()) };
            let Some(task) = TaskRecord::read(&records.directory)? else { return Ok(()) };
            let unseen = ExitRecord::unseen(task.pid);
            let event = Event::of_task(TASK_EXIT, id).with_process(id.id(), Some(task.pid));
            EventLog::new(self.0.layout.state.path()).tell(&event.with_exit(unseen.status, unseen.time))
        };
        tell().map_err(during(|| format!("look at the container of {id}")))
    }

    /// Which bundle has an id now, for [`Dunnage::delete_created`] and [`Dunnage::end_container`].
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without a bundle.
    pub fn incarnation(&self, id: &BundleId) -> Result<Incarnation> {
        let found = self.0.policy.check_identifiers(id).and_then(|()| dunnage_bundles::incarnation(&self.0, id));
        found.map_err(during(|| format!("load {id}")))
    }

    /// The spec of a bundle, as it was given to it.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without a bundle; if its `config.json` cannot be read.
    pub fn spec_of(&self, id: &BundleId) -> Result<Spec> {
        let limit = self.0.policy.limits().spec_size;
        dunnage_bundles::read_spec(&self.0, id, limit).map_err(during(|| format!("read the spec of {id}")))
    }

    /// The process of an exec, as JSON: what the caller wants, and otherwise what the spec of the bundle says
    /// of its process. Where the spec says it is for the policy to find.
    ///
    /// # Errors
    ///
    /// As for [`Dunnage::spec_of`]; [`InvalidSpec`](ErrorKind::InvalidSpec) if two readers could understand
    /// the spec differently, [`Unsupported`](ErrorKind::Unsupported) if the policy does not do this.
    pub fn exec_process(&self, id: &BundleId, options: &ExecOptions) -> Result<Vec<u8>> {
        let spec = self.spec_of(id)?;
        let parts = self.0.policy.process_parts(&spec);
        parts.and_then(|parts| process_of(&parts, options)).map_err(during(|| format!("exec in {id}")))
    }

    /// Makes FIFOs for the standard streams of a further process of a container that has a shim.
    ///
    /// # Errors
    ///
    /// If they cannot be made.
    pub fn exec_streams(&self, id: &BundleId, exec_id: &str, terminal: bool) -> Result<TaskStreams> {
        TaskStreams::make_for_exec(&self.0, id, exec_id, terminal).map_err(during(|| format!("exec in {id}")))
    }

    /// The paths of the standard streams of a container whose output the monitor of its shim keeps
    /// ([`StartOptions::output`](super::StartOptions::output)): input, output, errors. With `interactive` the
    /// input can be attached to; otherwise there is none.
    ///
    /// # Errors
    ///
    /// If its shim is not on record.
    pub fn kept_streams(&self, id: &BundleId, terminal: bool, interactive: bool) -> Result<[String; 3]> {
        TaskStreams::kept(&self.0, id, terminal, interactive).map_err(during(|| format!("run {id}")))
    }

    /// The input of a container that can be attached to; `None` if it cannot.
    ///
    /// # Errors
    ///
    /// If its shim is not on record, or the input cannot be opened.
    pub fn attach_input(&self, id: &BundleId) -> Result<Option<OwnedFd>> {
        TaskStreams::input(&self.0, id).map_err(during(|| format!("attach to {id}")))
    }

    /// What a container has written, if the monitor of its shim keeps it in the work directory; `None` if
    /// nothing was kept.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without a bundle; if the record cannot be read.
    pub fn container_log(&self, id: &BundleId) -> Result<Option<LogReader>> {
        let open = || {
            self.0.policy.check_identifiers(id)?;
            dunnage_bundles::open_bundle(&self.0, id)?;
            let Some(work_dir) = dunnage_bundles::work_dir_to_read(&self.0, id)? else { return Ok(None) };
            let reader = LogReader::open(work_dir, names::CONTAINER_LOG, names::OLDER_CONTAINER_LOG)?;
            Ok(Some(reader).filter(LogReader::has_file))
        };
        open().map_err(during(|| format!("read the log of {id}")))
    }

    /// Ends what runs of a bundle, its container and its shim, if it is still that incarnation. The bundle
    /// stays.
    ///
    /// # Errors
    ///
    /// If something cannot be ended or removed.
    pub fn end_container(&self, id: &BundleId, which: Incarnation) -> Result<()> {
        let ended = dunnage_bundles::end_container(&self.0, id, which);
        crate::events::tell_ends(self);
        ended.map_err(during(|| format!("end the container of {id}")))
    }
}

/// The file in which what a container writes is kept, if its starter chose one
/// ([`OutputLog::file`](super::OutputLog)). For what has to be known before a process confines itself: no policy is
/// asked, and what cannot be read is as good as missing.
#[must_use]
pub fn log_file_of(state: &Path, id: &BundleId) -> Option<PathBuf> {
    let layout = Layout::new(state.to_owned(), PathBuf::new());
    let record = RecordDir::open(&layout, id).and_then(|found| match found {
        Some(found) => ShimRecord::read(&found.directory),
        None => Ok(None),
    });
    record.inspect_err(|error| tracing::debug!(%error, "cannot tell where the output of {id} is kept")).ok()??.log
}

/// What a container has written to a file of its starter's choice.
///
/// # Errors
///
/// If there is no such file, or it cannot be read.
pub fn open_log(file: &Path) -> Result<LogReader> {
    let log = OutputLog { file: Some(file.to_owned()), max_size: 0 };
    let missing = |why: String| Error::new(ErrorKind::NotFound, Step::ReadLog, why).at(file);
    let (directory, name, older) = log.place_of_file().map_err(missing)?;
    let reader = LogReader::open(directory, name, older)?;
    if reader.has_file() { Ok(reader) } else { Err(missing(format!("there is no file {}", file.display()))) }
}
