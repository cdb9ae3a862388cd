//! Going through all namespaces for what may be a leftover. Entries come as the kernel lists them,
//! so that a hundred thousand take no more memory than one.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use dunnage_core::{AtStep, BundleId, Error, Result, Step, names};
use dunnage_store::BaseDir;
use dunnage_sys::{Crossing, Directory, FileKind, Name};
use rustix::io::Errno;

use super::Job;
use super::report::{Fate, Finding, Leftover};
use crate::inspect::is_valid;

/// An entry to be looked at more closely.
pub(super) enum Work {
    Hidden(Hidden),
    /// A work directory without a bundle.
    Orphan(BundleId),
    /// A bundle of an earlier boot.
    Bundle(BundleId),
    /// The record of a shim.
    Shim(BundleId),
}

/// A hidden entry.
pub(super) struct Hidden {
    pub(super) leftover: Leftover,
    pub(super) parent: Arc<Directory>,
    pub(super) name: Name,
}

impl Work {
    /// The finding, as long as nothing was done about it.
    pub(super) fn finding(&self, job: &Job<'_>) -> Finding {
        let layout = &job.node.layout;
        let (leftover, path, id) = match self {
            Self::Hidden(hidden) => (hidden.leftover, hidden.parent.path_of(&hidden.name), None),
            Self::Orphan(id) => (Leftover::WorkDir, layout.bundle(id).work_dir().to_owned(), Some(id)),
            Self::Bundle(id) => (Leftover::Bundle, layout.bundle(id).path().to_owned(), Some(id)),
            Self::Shim(id) => {
                let shims = layout.state.path().join(names::RECORDS.as_path()).join(names::SHIMS.as_path());
                (Leftover::Shim, shims.join(id.namespace()).join(id.id()), Some(id))
            }
        };
        let is_theirs = leftover == Leftover::V1 && !job.options.adopt_v1;
        let why = is_theirs.then(|| "left by containerd's runtime v1; --adopt-v1 removes it".to_owned());
        Finding { leftover, path, id: id.cloned(), fate: Fate::Kept, why }
    }
}

/// Finds what may be left over in the state directory; the sender waits while the workers are busy.
pub(super) fn state(job: &Job<'_>, sender: &SyncSender<Work>) {
    let state = &job.node.layout.state;
    // Each is looked at whatever is wrong with the other.
    unreadable(job, state.path().to_owned(), scan_base(job, sender, state, Which::State));
    unreadable(job, state.path().join(names::RECORDS.as_path()), scan_shims(job, sender));
}

/// The same for the root directory.
pub(super) fn root(job: &Job<'_>, sender: &SyncSender<Work>) {
    let root = &job.node.layout.root;
    unreadable(job, root.path().to_owned(), scan_base(job, sender, root, Which::Root));
}

/// Which of the two directories.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    State,
    Root,
}

fn unreadable(job: &Job<'_>, path: PathBuf, result: Result<()>) {
    if let Err(error) = result {
        let why = Some(error.to_string());
        job.found(Finding { leftover: Leftover::Namespace, path, id: None, fate: Fate::Undecided, why });
    }
}

fn scan_base(job: &Job<'_>, sender: &SyncSender<Work>, base: &BaseDir, which: Which) -> Result<()> {
    let Some(directory) = base.open()? else { return Ok(()) };
    each(job, &directory, |name, kind| {
        if name.is_hidden() || kind != FileKind::Directory {
            return Ok(());
        }
        let Some(namespace) = name.as_text() else { return Ok(()) };
        let scanned = scan_namespace(job, sender, base, which, namespace, name);
        unreadable(job, directory.path_of(name), scanned);
        Ok(())
    })
}

fn scan_namespace(
    job: &Job<'_>,
    sender: &SyncSender<Work>,
    base: &BaseDir,
    which: Which,
    namespace: &str,
    name: &Name,
) -> Result<()> {
    if !is_valid(job.node, &BundleId::new(namespace, "x"))? {
        return Ok(());
    }
    let Some(directory) = base.namespace(name)? else { return Ok(()) };
    let bundles = job.node.layout.state.namespace(name)?;
    each(job, &directory, |name, kind| {
        let Some(text) = name.as_text() else { return Ok(()) };
        let id = || BundleId::new(namespace, text);
        let work = match (which, text.strip_prefix('.')) {
            (_, Some(_)) if name.is_own_hidden() => hidden(Leftover::Hidden, &directory, name),
            (_, Some(rest)) if is_valid(job.node, &BundleId::new(namespace, rest))? => {
                hidden(Leftover::V1, &directory, name)
            }
            (Which::State, None) if kind == FileKind::Directory && !job.earlier.is_empty() => {
                match directory.metadata_at(name) {
                    Ok(found) if job.earlier.contains(namespace, text, &found) => Work::Bundle(id()),
                    _ => return Ok(()),
                }
            }
            (Which::Root, None) if kind == FileKind::Directory && is_missing(bundles.as_deref(), name)? => {
                Work::Orphan(id())
            }
            _ => return Ok(()),
        };
        // The workers are there as long as the sender is.
        let _ = sender.send(work);
        Ok(())
    })
}

fn hidden(leftover: Leftover, parent: &Arc<Directory>, name: &Name) -> Work {
    Work::Hidden(Hidden { leftover, parent: Arc::clone(parent), name: name.clone() })
}

/// Whether a namespace of the state directory has no entry of a name.
pub(super) fn is_missing(bundles: Option<&Directory>, name: &Name) -> Result<bool> {
    match bundles.map(|bundles| bundles.metadata_at(name)) {
        None => Ok(true),
        Some(Ok(_)) => Ok(false),
        Some(Err(failure)) if failure.errno() == Errno::NOENT => Ok(true),
        Some(Err(failure)) => Err(Error::from_failure(Step::Recover, &failure)),
    }
}

fn scan_shims(job: &Job<'_>, sender: &SyncSender<Work>) -> Result<()> {
    let Some(shims) = job.node.layout.state.records(&[names::SHIMS])? else { return Ok(()) };
    each(job, &shims, |namespace, _| {
        let scanned = shims.open_directory(namespace, Crossing::Refused).at_step(Step::Recover).and_then(|directory| {
            each(job, &directory, |id, _| {
                if let (Some(namespace), Some(id)) = (namespace.as_text(), id.as_text()) {
                    let _ = sender.send(Work::Shim(BundleId::new(namespace, id)));
                }
                Ok(())
            })
        });
        unreadable(job, shims.path_of(namespace), scanned);
        Ok(())
    })
}

/// Visits the entries of a directory, as long as there is time.
fn each(job: &Job<'_>, directory: &Directory, mut visit: impl FnMut(&Name, FileKind) -> Result<()>) -> Result<()> {
    let mut result = Ok(());
    // A handle of its own: others may be listing the same directory.
    let own = directory.reopen().at_step(Step::Recover)?;
    own.each_entry(|entry| {
        job.looked_at();
        let kind = entry.kind.or_else(|| Some(directory.metadata_at(&entry.name).ok()?.kind));
        if job.is_over() {
            let message = "the time limit was reached before all of it was checked";
            result = Err(Error::new(dunnage_core::ErrorKind::Timeout, Step::Recover, message));
        } else {
            result = visit(&entry.name, kind.unwrap_or(FileKind::Other));
        }
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .at_step(Step::Recover)?;
    result
}
