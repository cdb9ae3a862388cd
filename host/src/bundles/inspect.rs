//! Finding bundles: `load`, `list`, `inspect`. Nothing here writes.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::io::Errno;

use super::Inner;
use super::busy::Busy;
use super::create::names;
use super::lend::Lendable;
use super::listing::Listing;
use super::lock::Waiting;
use super::places::check_owner;
use super::shim_record::ShimRecord;
use crate::bundle::{Bundle, BundleId};
use crate::error::{AtStep, Error, ErrorKind, Result, Step};
use crate::filesystem::{Access, Lent};
use crate::name::Name;
use crate::privileged::Privileged;
use crate::sys::{Crossing, Directory, Entry, Kind, ShimProcess};

/// A bundle in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// The bundle.
    pub bundle: Bundle,
    /// Its permission bits.
    pub mode: u32,
    /// The group it belongs to.
    pub gid: u32,
    /// When it was made.
    pub created: SystemTime,
}

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
pub(crate) fn open(inner: &Inner, id: &BundleId) -> Result<Arc<Directory>> {
    let (namespace, name) = names(id)?;
    let missing = || not_found(&inner.places.bundle(id));
    let bundles = inner.places.state.namespace(&namespace)?.ok_or_else(missing)?;
    match bundles.open_directory(&name, Crossing::Refused) {
        Err(failure) if failure.errno() == Errno::NOENT => Err(missing()),
        result => {
            let bundle = result.at_step(Step::OpenBundle)?;
            check_owner(&bundle, &bundle.metadata().at_step(Step::OpenBundle)?, Step::OpenBundle)?;
            Ok(Arc::new(bundle))
        }
    }
}

/// A bundle to lend for reading.
pub(crate) fn lend(inner: &Arc<Inner>, id: &BundleId) -> Lent {
    let (inner, id) = (Arc::clone(inner), id.clone());
    Lent::new(Access::Read, move || open(&inner, &id))
}

pub(super) fn load(inner: &Inner, id: &BundleId) -> Result<Bundle> {
    inner.policy.check_identifiers(&inner.config, id)?;
    open(inner, id)?;
    Ok(inner.places.bundle(id))
}

pub(super) fn inspect(inner: &Arc<Inner>, id: &BundleId) -> Result<Inspection> {
    let open = {
        let (inner, id) = (Arc::clone(inner), id.clone());
        move |_| open(&inner, &id).map(Found)
    };
    let (records, opened) = super::lend::lend(&mut Busy::reading(), Access::Read, open.clone(), |lent| {
        inner.policy.shim_records(&inner.config, id, lent)
    });
    let records = records?;
    // The records and what follows are of one and the same bundle.
    let Found(directory) = opened.map_or_else(|| open(Waiting::Never), Ok)?;
    let metadata = directory.metadata().at_step(Step::OpenBundle)?;
    let (shim_pid, shim_alive) = match (records.pid, ShimRecord::of(inner, id, &directory)) {
        (Err(fault), _) => (Err(fault), None),
        (Ok(Some(pid)), record) => {
            let shim =
                find_shim(&inner.config.privileged, pid, record?.as_ref(), &directory).at_step(Step::ReadRecords)?;
            (Ok(Some(pid)), Some(shim.is_some()))
        }
        // A shim that was started is on record before it is on file.
        (Ok(None), Ok(record)) => match record.and_then(|record| record.serving()) {
            Some(process) => {
                let shim = inner.config.privileged.find_started(process, &directory).at_step(Step::ReadRecords)?;
                (Ok(Some(process.pid)), Some(shim.is_some()))
            }
            None => (Ok(None), None),
        },
        (Ok(None), Err(error)) => (Err(error.to_string()), None),
    };
    Ok(Inspection {
        listed: Listed {
            bundle: inner.places.bundle(id),
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
pub(crate) fn find_shim(
    privileged: &Privileged,
    pid: u32,
    record: Option<&ShimRecord>,
    bundle: &Directory,
) -> crate::sys::Result<Option<ShimProcess>> {
    match record.and_then(|record| record.process.map(|process| (record, process))) {
        // A process that serves inside another may have stopped while that one lives.
        Some((record, process)) if process.pid == pid => match record.serving() {
            Some(process) => privileged.find_started(process, bundle),
            None => Ok(None),
        },
        _ => privileged.find(pid, bundle),
    }
}

pub(super) fn list(inner: &Inner, scope: Scope<'_>) -> Result<Listing> {
    let mut listing = Listing::new(&inner.places);
    match scope {
        Scope::Namespace(namespace) => {
            listing.begin(namespace);
            list_namespace(inner, namespace, &mut listing)?;
        }
        Scope::All => {
            for namespace in all_namespaces(inner)? {
                listing.begin(&namespace);
                // One broken namespace does not hide the others (defect D13).
                if let Err(error) = list_namespace(inner, &namespace, &mut listing) {
                    listing.take_back();
                    tracing::warn!(%error, "cannot list namespace {namespace:?}");
                }
            }
        }
    }
    Ok(listing)
}

fn all_namespaces(inner: &Inner) -> Result<Vec<Box<str>>> {
    let Some(state) = inner.places.state.open()? else { return Ok(Vec::new()) };
    let found = directories(&state)?;
    // Whether a name is a namespace's is the policy's to say; the id is one that is always valid.
    let mut namespaces = Vec::new();
    for name in found {
        if is_valid(inner, &BundleId::new(&*name, "x"))? {
            namespaces.push(name);
        }
    }
    Ok(namespaces)
}

fn list_namespace(inner: &Inner, namespace: &str, listing: &mut Listing) -> Result<()> {
    inner.policy.check_identifiers(&inner.config, &BundleId::new(namespace, "x"))?;
    let (name, _) = names(&BundleId::new(namespace, "x"))?;
    let Some(directory) = inner.places.state.namespace(&name)? else { return Ok(()) };
    for id in directories(&directory)? {
        let id = BundleId::new(namespace, id);
        if !is_valid(inner, &id)? {
            continue;
        }
        let (_, name) = names(&id)?;
        match directory.metadata_at(&name) {
            // Deleted since it was listed.
            Err(failure) if failure.errno() == Errno::NOENT => {}
            metadata => listing.push(id.id(), &metadata.at_step(Step::List)?),
        }
    }
    Ok(())
}

/// Whether the policy takes a namespace and an id.
pub(super) fn is_valid(inner: &Inner, id: &BundleId) -> Result<bool> {
    match inner.policy.check_identifiers(&inner.config, id) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::InvalidIdentifier => Ok(false),
        Err(error) => Err(error),
    }
}

/// The names of the directories in a directory, sorted, without hidden ones.
fn directories(directory: &Directory) -> Result<Vec<Box<str>>> {
    let mut names: Vec<Box<str>> = Vec::new();
    let visited = directory.each_entry(|Entry { name, kind }| {
        if !name.is_hidden() && is_directory(directory, &name, kind) {
            names.extend(name.as_text().map(Box::from));
        }
        ControlFlow::Continue(())
    });
    visited.at_step(Step::List)?;
    names.sort_unstable();
    Ok(names)
}

fn is_directory(parent: &Directory, name: &Name, kind: Option<Kind>) -> bool {
    match kind {
        Some(kind) => kind == Kind::Directory,
        None => parent.metadata_at(name).is_ok_and(|metadata| metadata.kind == Kind::Directory),
    }
}
