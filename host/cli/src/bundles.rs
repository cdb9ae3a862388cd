//! `create`, `delete`, `list`, `inspect`, `gid`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use dunnage::shim::{TaskInfo, TaskStatus};
use dunnage::{BundleId, Dunnage, ErrorKind, Listed, Listing, Scope, Step};
use serde::Serialize;

use super::confine::{Profile, confine, confine_beside_broker};
use super::failure::{Failed, exit_code, report};
use super::options::Global;
use super::output::Output;
use super::output::pairs;
use super::progress::Progress;
use super::shim::block_on;
use super::times::{age, time};

/// Create a bundle from an OCI spec
#[derive(Args)]
#[command(
    after_help = "Example:\n  dunnage create web-1 --spec config.json\n  runc spec && dunnage create web-2 --spec - < config.json"
)]
pub(super) struct Create {
    /// Id of the container
    id: String,
    /// OCI runtime spec (config.json), `-` for standard input
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
}

#[derive(Serialize)]
struct Created {
    namespace: String,
    id: String,
    bundle: PathBuf,
    work_dir: PathBuf,
    remapped_gid: u32,
    shim_address: String,
}

impl Create {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let id = global.id(&self.id);
        let operation = format!("create {id}");
        let spec = global.open_spec(&self.spec).map_err(|error| error.with_operation(&operation))?;
        confine(global, &Profile::CREATING);
        let spec = spec.read().map_err(|error| error.with_operation(&operation))?;
        let dunnage = global.dunnage()?;
        // Everything that can be refused without a trace comes first.
        let shim_address = dunnage.shim_address(&id).map_err(|error| error.with_operation(&operation))?;
        let created = dunnage.create(&id, &spec)?;
        super::reach::warn(created.bundle.path(), created.remapped_gid, &shim_address);
        let result = Created {
            namespace: global.namespace.clone(),
            id: self.id,
            bundle: created.bundle.path().to_owned(),
            work_dir: created.bundle.work_dir().to_owned(),
            remapped_gid: created.remapped_gid,
            shim_address,
        };
        let printed = global.output.print(&result, |created| {
            pairs(&[
                ("namespace", created.namespace.clone()),
                ("id", created.id.clone()),
                ("bundle", created.bundle.display().to_string()),
                ("work dir", created.work_dir.display().to_string()),
                ("remapped gid", created.remapped_gid.to_string()),
                ("shim address", created.shim_address.clone()),
            ])
        });
        Ok(printed.map_err(|failed| match dunnage.delete_created(&id, created.incarnation, false) {
            Ok(_) => failed.during(&operation, "the bundle was removed again"),
            Err(error) => failed.during(&operation, &format!("the bundle was created and cannot be removed: {error}")),
        })?)
    }
}

/// Delete bundles, unmounting what is mounted in them
#[derive(Args)]
#[command(
    after_help = "A bundle that does not exist is not an error, and is not listed.\n\nExample:\n  dunnage delete web-1 web-2"
)]
pub(super) struct Delete {
    /// Ids of the containers
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Fail (exit code 5) if there is no such bundle
    #[arg(long)]
    must_exist: bool,
    /// Say nothing if there is no such bundle
    #[arg(long, conflicts_with = "must_exist")]
    ignore_missing: bool,
    /// Kill a shim that is still running
    #[arg(long)]
    force: bool,
}

impl Delete {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Deleted {
            deleted: Vec<String>,
        }
        let broker = confine_beside_broker(global, &Profile::DELETING)?;
        let dunnage = global.dunnage_beside(broker.as_ref())?;
        let mut result = Deleted { deleted: Vec::new() };
        let mut code = None;
        for id in self.ids {
            match dunnage.delete(&global.id(&id), self.force) {
                Ok(deletion) => {
                    for warning in &deletion.warnings {
                        tracing::warn!("delete {id}: {warning}");
                    }
                    if deletion.deleted {
                        result.deleted.push(id);
                    } else if self.must_exist {
                        let error = missing(global, &id).into();
                        report(&error, global.output);
                        code.get_or_insert(exit_code(&error));
                    } else if !self.ignore_missing && global.output == Output::Table {
                        // Not an error: of several callers one deletes it, and all get what they want.
                        tracing::warn!("{}", missing(global, &id));
                    }
                }
                // The others are deleted all the same; the first failure decides the exit code.
                Err(error) => {
                    let error = error.into();
                    report(&error, global.output);
                    code.get_or_insert(exit_code(&error));
                }
            }
        }
        global.output.print(&result, |result| result.deleted.join("\n"))?;
        code.map_or(Ok(()), |code| Err(Failed::reported(code).into()))
    }
}

fn missing(global: &Global, id: &str) -> Failed {
    let id = global.id(id);
    Failed::of(&format!("delete {id}"), ErrorKind::NotFound, Step::OpenBundle, "there is no such bundle")
}

/// List bundles
#[derive(Args)]
#[command(after_help = "Example:\n  dunnage list -A -o json")]
pub(super) struct List {
    /// List the bundles of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Show the status of each container, by querying its shim
    #[arg(long)]
    status: bool,
}

/// How long all shims together may take to say what their containers are doing.
const STATUS_TIMEOUT: Duration = Duration::from_secs(4);

#[derive(Serialize)]
struct Item {
    namespace: String,
    id: String,
    bundle: PathBuf,
    work_dir: PathBuf,
    mode: String,
    gid: u32,
    created: String,
    #[serde(skip)]
    age: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

impl From<&Listed> for Item {
    fn from(listed: &Listed) -> Self {
        Self {
            namespace: listed.bundle.id().namespace().to_owned(),
            id: listed.bundle.id().id().to_owned(),
            bundle: listed.bundle.path().to_owned(),
            work_dir: listed.bundle.work_dir().to_owned(),
            mode: format!("{:04o}", listed.mode),
            gid: listed.gid,
            created: time(listed.created),
            age: age(listed.created),
            status: None,
        }
    }
}

impl List {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let progress = Progress::new("list", "bundles found");
        let broker = if self.status {
            confine_beside_broker(global, &Profile::ASKING)?
        } else {
            confine(global, &Profile::READING);
            None
        };
        let scope = if self.all_namespaces { Scope::All } else { Scope::Namespace(&global.namespace) };
        let dunnage = global.dunnage_for_many(broker.as_ref(), if self.status { 8 } else { 1 })?;
        let listing = dunnage.list_with_progress(scope, &|count| progress.show(count))?;
        progress.clear();
        let statuses = if self.status { statuses(&dunnage, &listing)? } else { Vec::new() };
        let items = || {
            let statuses = statuses.iter().map(|status| Some(status.as_str())).chain(std::iter::repeat(None));
            listing.iter().zip(statuses).map(|(listed, status)| Item { status, ..Item::from(&listed) })
        };
        let headings = ["NAMESPACE", "ID", "MODE", "GID", "AGE", "BUNDLE", "STATUS"];
        // The last column is empty without a status, and so is its heading.
        let headings = headings.map(|heading| if heading == "STATUS" && !self.status { "" } else { heading });
        Ok(global.output.print_each(items, headings, Item::row)?)
    }
}

impl Item {
    fn row(&self) -> [String; 7] {
        [
            self.namespace.clone(),
            self.id.clone(),
            self.mode.clone(),
            self.gid.to_string(),
            self.age.clone(),
            self.bundle.display().to_string(),
            self.status.unwrap_or_default().to_owned(),
        ]
    }
}

/// Asks all shims; those that do not answer delay the result only briefly.
fn statuses(dunnage: &Dunnage, listing: &Listing) -> anyhow::Result<Vec<TaskStatus>> {
    let ids: Vec<_> = listing.iter().map(|listed| listed.bundle.id().clone()).collect();
    block_on(async { Ok(dunnage.task_statuses(&ids, STATUS_TIMEOUT).await) })
}

/// Show everything that is known about a bundle
#[derive(Args)]
#[command(after_help = "Example:\n  dunnage inspect web-1 -o json")]
pub(super) struct Inspect {
    /// Id of the container
    id: String,
}

#[derive(Serialize)]
struct Inspected {
    #[serde(flatten)]
    item: Item,
    /// `null` if there is none on file, or it cannot be used; then `address_error` says why.
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address_error: Option<String>,
    shim_pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shim_pid_error: Option<String>,
    shim_alive: Option<bool>,
    /// The host's id of the container's init, as long as that runs.
    pid: Option<u32>,
    exit_code: Option<u32>,
    started: Option<String>,
    ended: Option<String>,
}

impl Inspect {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let broker = confine_beside_broker(global, &Profile::ASKING)?;
        let dunnage = global.dunnage_beside(broker.as_ref())?;
        let id = global.id(&self.id);
        let found = dunnage.inspect(&id)?;
        let (status, task) = container(&dunnage, &id);
        let runs = matches!(status, TaskStatus::Created | TaskStatus::Running | TaskStatus::Paused);
        let (address, address_error) = split(found.address);
        let (shim_pid, shim_pid_error) = split(found.shim_pid);
        let result = Inspected {
            item: Item { status: Some(status.as_str()), ..Item::from(&found.listed) },
            address,
            address_error,
            shim_pid,
            shim_pid_error,
            shim_alive: found.shim_alive,
            pid: task.pid.filter(|_| runs),
            exit_code: task.exit_status,
            started: task.started.map(time),
            ended: task.ended.map(time),
        };
        Ok(global.output.show(&result, table)?)
    }
}

/// What the container of a bundle is doing, and what is on record about it; as much as can be found out.
fn container(dunnage: &Dunnage, id: &BundleId) -> (TaskStatus, TaskInfo) {
    let unknown = |error: &dyn std::fmt::Display| tracing::debug!(%error, "cannot look at the container of {id}");
    let status = block_on(async { Ok(dunnage.task_status(id).await?) });
    let status = status.inspect_err(|error| unknown(error)).unwrap_or(TaskStatus::Unknown);
    (status, dunnage.task_info(id).inspect_err(|error| unknown(error)).unwrap_or_default())
}

fn table(found: &Inspected) -> String {
    let known = |value: Option<String>, error: &Option<String>| match (value, error) {
        (Some(value), _) => value,
        (None, Some(error)) => format!("unusable: {error}"),
        (None, None) => "none".to_owned(),
    };
    let alive = match found.shim_alive {
        Some(true) => " (running)",
        Some(false) => " (gone)",
        None => "",
    };
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    pairs(&[
        ("namespace", found.item.namespace.clone()),
        ("id", found.item.id.clone()),
        ("status", found.item.status.unwrap_or_default().to_owned()),
        ("pid", or_dash(&found.pid.map(|pid| pid.to_string()))),
        ("exit code", or_dash(&found.exit_code.map(|code| code.to_string()))),
        ("started", or_dash(&found.started)),
        ("ended", or_dash(&found.ended)),
        ("bundle", found.item.bundle.display().to_string()),
        ("work dir", found.item.work_dir.display().to_string()),
        ("mode", found.item.mode.clone()),
        ("gid", found.item.gid.to_string()),
        ("created", found.item.created.clone()),
        ("address", known(found.address.clone(), &found.address_error)),
        ("shim pid", known(found.shim_pid.map(|pid| format!("{pid}{alive}")), &found.shim_pid_error)),
    ])
}

fn split<T>(record: Result<Option<T>, String>) -> (Option<T>, Option<String>) {
    match record {
        Ok(value) => (value, None),
        Err(error) => (None, Some(error)),
    }
}

/// Show the host group that GID 0 of a container maps to
#[derive(Args)]
#[command(after_help = "0 means that the group is not remapped.\n\nExample:\n  dunnage gid --spec config.json")]
pub(super) struct Gid {
    /// OCI runtime spec (config.json), `-` for standard input
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
}

impl Gid {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct RemappedGid {
            remapped_gid: u32,
        }
        let spec = global.open_spec(&self.spec).map_err(|error| error.with_operation("gid"))?;
        confine(global, &Profile::NOTHING);
        let spec = spec.read().map_err(|error| error.with_operation("gid"))?;
        let remapped_gid = global.dunnage()?.remapped_gid(&spec)?;
        Ok(global.output.show(&RemappedGid { remapped_gid }, |answer| answer.remapped_gid.to_string())?)
    }
}
