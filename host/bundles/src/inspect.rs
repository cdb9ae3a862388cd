//! Finding bundles: `load`, `list`, `inspect`. Nothing here writes.

use std::ops::ControlFlow;
use std::sync::Arc;

use dunnage_broker::Privileged;
use dunnage_core::{AtStep, Bundle, BundleId, Error, ErrorKind, Incarnation, Result, Spec, Step, names};
use dunnage_sandbox::{Access, LazyDir};
use dunnage_store::{LockWait, ShimRecord, check_owner, names_of};
use dunnage_sys::{Crossing, Directory, DirectoryEntry, FileKind, Name, ProcessHandle};
use rustix::io::Errno;

use crate::Node;
use crate::listing::{Listed, Listing};
use crate::policy_call::{Lendable, call_policy};
use crate::throttle::Slot;

/// What there is to know about a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The bundle, its mode and group, and when it was made.
    pub listed: Listed,
    /// The shim's address on file, or why the file cannot be used.
    pub address: std::result::Result<Option<String>, String>,
    /// The shim's process id on file, or else on record, or why neither can be used.
    pub shim_pid: std::result::Result<Option<u32>, String>,
    /// Whether the shim on file is running; `None` without a process id.
    pub shim_alive: Option<bool>,
}

/// Which bundles to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Those of one namespace.
    Namespace(&'a str),
    /// Those of all namespaces.
    All,
}

/// The error of a bundle that is not there.
pub(super) fn not_found(bundle: &Bundle) -> Error {
    let path = bundle.path();
    Error::new(ErrorKind::NotFound, Step::OpenBundle, format!("there is no bundle {}", path.display())).at(path)
}

/// A bundle that was opened for reading.
struct Found(Arc<Directory>);

impl Lendable for Found {
    fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.0)
    }
}

/// Opens a bundle for reading.
pub fn open_bundle(node: &Node, id: &BundleId) -> Result<Arc<Directory>> {
    let (namespace, name) = names_of(id)?;
    let missing = || not_found(&node.layout.bundle(id));
    let bundles = node.layout.state.namespace(&namespace)?.ok_or_else(missing)?;
    match bundles.open_directory(&name, Crossing::Refused) {
        Err(failure) if failure.errno() == Errno::NOENT => Err(missing()),
        result => {
            let bundle = result.at_step(Step::OpenBundle)?;
            check_owner(&bundle, &bundle.metadata().at_step(Step::OpenBundle)?, Step::OpenBundle)?;
            Ok(Arc::new(bundle))
        }
    }
}

/// The spec of a bundle, as it was given to it.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] without a bundle; if its `config.json` cannot be read or is larger than `limit`.
pub fn read_spec(node: &Arc<Node>, id: &BundleId, limit: u64) -> Result<Spec> {
    node.policy.check_identifiers(id)?;
    let bundle = open_bundle(node, id)?;
    let bytes = bundle.read_file(&names::CONFIG, limit).at_step(Step::ReadSpec)?;
    Ok(Spec::new(bytes))
}

/// Which bundle has an id now.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if none has.
pub fn incarnation(node: &Node, id: &BundleId) -> Result<Incarnation> {
    let bundle = open_bundle(node, id)?;
    bundle.metadata().map(|found| Incarnation::of(&found)).at_step(Step::OpenBundle)
}

/// The work directory of a bundle, for reading; `None` if it is not there.
///
/// # Errors
///
/// If it cannot be opened.
pub fn work_dir_to_read(node: &Node, id: &BundleId) -> Result<Option<Arc<Directory>>> {
    let (namespace, name) = names_of(id)?;
    let Some(parent) = node.layout.root.namespace(&namespace)? else { return Ok(None) };
    match parent.open_directory(&name, Crossing::Refused) {
        Err(failure) if failure.errno() == Errno::NOENT => Ok(None),
        result => result.map(|directory| Some(Arc::new(directory))).at_step(Step::OpenWorkDir),
    }
}

/// A bundle to lend for reading.
pub fn lend_to_read(node: &Arc<Node>, id: &BundleId) -> LazyDir {
    let (node, id) = (Arc::clone(node), id.clone());
    LazyDir::new(Access::Read, move || open_bundle(&node, &id))
}

/// Finds a bundle by its id.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if there is none.
pub fn load(node: &Node, id: &BundleId) -> Result<Bundle> {
    node.policy.check_identifiers(id)?;
    open_bundle(node, id)?;
    Ok(node.layout.bundle(id))
}

/// Says what there is to know about a bundle.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if there is none.
pub fn inspect(node: &Arc<Node>, id: &BundleId) -> Result<Inspection> {
    let open = {
        let (node, id) = (Arc::clone(node), id.clone());
        move |_| open_bundle(&node, &id).map(Found)
    };
    let (records, opened) =
        call_policy(&mut Slot::reading(), Access::Read, open.clone(), |lent| node.policy.shim_records(id, lent));
    let records = records?;
    // The records and what follows are of one and the same bundle.
    let Found(directory) = opened.map_or_else(|| open(LockWait::Never), Ok)?;
    let metadata = directory.metadata().at_step(Step::OpenBundle)?;
    let (shim_pid, shim_alive) = match (records.pid, ShimRecord::find(&node.layout, id, &directory)) {
        (Err(fault), _) => (Err(fault), None),
        (Ok(Some(pid)), record) => {
            let shim = find_shim(&node.privileged, pid, record?.as_ref(), &directory).at_step(Step::ReadRecords)?;
            (Ok(Some(pid)), Some(shim.is_some()))
        }
        // A shim that was started is on record before it is on file.
        (Ok(None), Ok(record)) => match record.and_then(|record| record.serving()) {
            Some(process) => {
                let shim = node.privileged.find_started(process, &directory).at_step(Step::ReadRecords)?;
                (Ok(Some(process.pid)), Some(shim.is_some()))
            }
            None => (Ok(None), None),
        },
        (Ok(None), Err(error)) => (Err(error.to_string()), None),
    };
    Ok(Inspection {
        listed: Listed {
            bundle: node.layout.bundle(id),
            mode: metadata.mode,
            gid: metadata.gid,
            created: metadata.created,
        },
        address: records.address,
        shim_pid,
        shim_alive,
    })
}

/// The shim of a bundle by the process id on file: the process that was recorded when it was
/// started; without such a record, one that runs in the bundle.
pub fn find_shim(
    privileged: &Privileged,
    pid: u32,
    record: Option<&ShimRecord>,
    bundle: &Directory,
) -> dunnage_sys::Result<Option<ProcessHandle>> {
    match record.and_then(|record| record.process.map(|process| (record, process))) {
        // A shim inside another process may have stopped while that process lives.
        Some((record, process)) if process.pid == pid => match record.serving() {
            Some(process) => privileged.find_started(process, bundle),
            None => Ok(None),
        },
        _ => privileged.find(pid, bundle),
    }
}

/// Lists bundles, and tells after each how many were found so far.
///
/// # Errors
///
/// If the state directory or the namespace cannot be read.
pub fn list(node: &Node, scope: Scope<'_>, progress: &dyn Fn(u64)) -> Result<Listing> {
    let mut listing = Listing::new(&node.layout);
    match scope {
        Scope::Namespace(namespace) => {
            listing.begin(namespace);
            list_namespace(node, namespace, &mut listing, progress)?;
        }
        Scope::All => {
            for namespace in all_namespaces(node)? {
                listing.begin(&namespace);
                // One broken namespace does not hide the others (defect D13).
                if let Err(error) = list_namespace(node, &namespace, &mut listing, progress) {
                    listing.take_back();
                    tracing::warn!(%error, "cannot list namespace {namespace:?}");
                }
            }
        }
    }
    Ok(listing)
}

fn all_namespaces(node: &Node) -> Result<Vec<Box<str>>> {
    let Some(state) = node.layout.state.open()? else { return Ok(Vec::new()) };
    let found = directories(&state)?;
    // The policy decides whether a name is a namespace; the id is one that is always valid.
    let mut namespaces = Vec::new();
    for name in found {
        if is_valid(node, &BundleId::new(&*name, "x"))? {
            namespaces.push(name);
        }
    }
    Ok(namespaces)
}

fn list_namespace(node: &Node, namespace: &str, listing: &mut Listing, progress: &dyn Fn(u64)) -> Result<()> {
    node.policy.check_identifiers(&BundleId::new(namespace, "x"))?;
    let (name, _) = names_of(&BundleId::new(namespace, "x"))?;
    let Some(directory) = node.layout.state.namespace(&name)? else { return Ok(()) };
    for id in directories(&directory)? {
        let id = BundleId::new(namespace, id);
        if !is_valid(node, &id)? {
            continue;
        }
        let (_, name) = names_of(&id)?;
        match directory.metadata_at(&name) {
            // Deleted since it was listed.
            Err(failure) if failure.errno() == Errno::NOENT => {}
            metadata => {
                listing.push(id.id(), &metadata.at_step(Step::List)?);
                progress(listing.len() as u64);
            }
        }
    }
    Ok(())
}

/// Whether the policy accepts a namespace and an id.
pub(super) fn is_valid(node: &Node, id: &BundleId) -> Result<bool> {
    match node.policy.check_identifiers(id) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::InvalidIdentifier => Ok(false),
        Err(error) => Err(error),
    }
}

/// The names of the directories in a directory, sorted, without hidden ones.
fn directories(directory: &Directory) -> Result<Vec<Box<str>>> {
    let mut names: Vec<Box<str>> = Vec::new();
    let visited = directory.each_entry(|DirectoryEntry { name, kind }| {
        if !name.is_hidden() && is_directory(directory, &name, kind) {
            names.extend(name.as_text().map(Box::from));
        }
        ControlFlow::Continue(())
    });
    visited.at_step(Step::List)?;
    names.sort_unstable();
    Ok(names)
}

fn is_directory(parent: &Directory, name: &Name, kind: Option<FileKind>) -> bool {
    match kind {
        Some(kind) => kind == FileKind::Directory,
        None => parent.metadata_at(name).is_ok_and(|metadata| metadata.kind == FileKind::Directory),
    }
}
