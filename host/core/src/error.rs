//! Errors that a daemon can act on: what kind, at which step, with which path, and why.

use std::fmt;
use std::path::{Path, PathBuf};

use dunnage_sys::Failure;
use dunnage_sys::trusted_path::TrustedPathError;
use rustix::io::Errno;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it was: what a caller can branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The policy refuses the namespace or the id.
    InvalidIdentifier,
    /// The policy refuses the spec.
    InvalidSpec,
    /// The spec is larger than [`Limits::spec_size`](crate::Limits::spec_size).
    SpecTooLarge,
    /// The spec maps GID 0 to a group outside the ranges that the operator allows.
    GroupNotAllowed,
    /// A setting of the caller is invalid.
    InvalidConfig,
    /// There is a bundle of that namespace and id already.
    Exists,
    /// There is no such bundle.
    NotFound,
    /// There is no shim address on file, and the legacy one is not allowed.
    NoAddress,
    /// A record in the bundle (`address`, `shim.pid`) cannot be used.
    BadRecord,
    /// Something is mounted where it must not be, or cannot be unmounted.
    Mounted,
    /// The shim of the bundle is still running.
    ShimAlive,
    /// Another process is changing the bundle and does not finish.
    Locked,
    /// A directory belongs to another user, or others can write to it.
    Untrusted,
    /// The kernel or the file system lacks something that is needed.
    Unsupported,
    /// A system call failed for another reason; see [`Error::errno`].
    Filesystem,
    /// The shim or the runtime failed, or refused what was asked of it.
    Shim,
    /// The shim has no such task or process.
    NoTask,
    /// The container of the bundle is not running.
    NotRunning,
    /// The state and the root directory do not belong together.
    NotPaired,
    /// A shim, the runtime or another process did not answer in time.
    Timeout,
    /// The published bytes are not an event, or are too large.
    InvalidEvent,
    /// The policy cannot be used: wrong digest, wrong world, not a component, or this build takes
    /// no policy but its own.
    PolicyRejected,
    /// The policy trapped.
    PolicyTrapped,
    /// The policy passed a limit; see [`Limits`](crate::Limits).
    PolicyLimit,
    /// The policy broke a rule, or what it made cannot be published.
    PolicyBroken,
    /// A guard cannot be used: missing, wrong digest, wrong world, wrong settings.
    GuardRejected,
    /// A guard failed: it trapped, passed a limit or broke a rule. What it was asked about is denied.
    GuardFailed,
    /// A guard denies it.
    Denied,
}

impl ErrorKind {
    /// A stable name for programs, in lower case with hyphens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidIdentifier => "invalid-identifier",
            Self::InvalidSpec => "invalid-spec",
            Self::SpecTooLarge => "spec-too-large",
            Self::GroupNotAllowed => "group-not-allowed",
            Self::InvalidConfig => "invalid-config",
            Self::Exists => "exists",
            Self::NotFound => "not-found",
            Self::NoAddress => "no-address",
            Self::BadRecord => "bad-record",
            Self::Mounted => "mounted",
            Self::ShimAlive => "shim-alive",
            Self::Locked => "locked",
            Self::Untrusted => "untrusted",
            Self::Unsupported => "unsupported",
            Self::Filesystem => "filesystem",
            Self::Shim => "shim",
            Self::NoTask => "no-task",
            Self::NotRunning => "not-running",
            Self::NotPaired => "not-paired",
            Self::Timeout => "timeout",
            Self::InvalidEvent => "invalid-event",
            Self::PolicyRejected => "policy-rejected",
            Self::PolicyTrapped => "policy-trapped",
            Self::PolicyLimit => "policy-limit",
            Self::PolicyBroken => "policy-broken",
            Self::GuardRejected => "guard-rejected",
            Self::GuardFailed => "guard-failed",
            Self::Denied => "denied",
        }
    }
}

/// At which step it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Taking the caller's settings.
    Configure,
    /// Loading the policy and checking its digest and world.
    LoadPolicy,
    /// Starting an instance of the policy.
    StartPolicy,
    /// The policy's decision.
    Decide,
    /// Loading a guard and checking what it is.
    LoadGuard,
    /// Asking a guard.
    Review,
    /// Recording what guards have decided.
    RecordDecision,
    /// Reading what guards have decided.
    ReadDecisions,
    /// Checking the namespace and the id.
    CheckIdentifiers,
    /// Reading the spec.
    ReadSpec,
    /// Opening (or making) the state directory.
    OpenState,
    /// Opening (or making) the root directory.
    OpenRoot,
    /// Opening (or making) the directory of a namespace.
    OpenNamespace,
    /// Opening (or making) the work directory.
    OpenWorkDir,
    /// Opening the bundle.
    OpenBundle,
    /// Waiting for another process that is changing the bundle.
    Lock,
    /// Making the staging directory.
    Stage,
    /// Giving the bundle to the remapped group.
    SetGroup,
    /// Setting the bundle's mode.
    SetMode,
    /// Making `rootfs`.
    CreateRootfs,
    /// Writing `config.json`.
    WriteSpec,
    /// Checking what the policy made.
    Verify,
    /// Giving the bundle its final name.
    Publish,
    /// Reading the records of the shim.
    ReadRecords,
    /// Looking for the shim, or ending it.
    EndShim,
    /// Looking for mounts, or unmounting.
    Unmount,
    /// Taking the bundle's name away.
    Retire,
    /// Removing what was the bundle.
    RemoveBundle,
    /// Removing the work directory.
    RemoveWorkDir,
    /// Listing a directory.
    List,
    /// Listening where the shim will answer.
    Listen,
    /// Keeping a record of a shim.
    RecordShim,
    /// Starting a shim.
    StartShim,
    /// Connecting to a shim.
    ConnectShim,
    /// Asking something of a shim.
    CallShim,
    /// Ending a shim on request.
    StopShim,
    /// Running a container's processes.
    RunTask,
    /// Recording an event.
    PublishEvent,
    /// Reading the events on record.
    ReadEvents,
    /// Reading what a container has written.
    ReadLog,
    /// Finding out which state and which root directory belong together.
    Pair,
    /// Looking for what a crash has left, and removing it.
    Recover,
}

impl Step {
    /// A stable name for programs, in lower case with hyphens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::LoadPolicy => "load-policy",
            Self::StartPolicy => "start-policy",
            Self::Decide => "decide",
            Self::LoadGuard => "load-guard",
            Self::Review => "review",
            Self::RecordDecision => "record-decision",
            Self::ReadDecisions => "read-decisions",
            Self::CheckIdentifiers => "check-identifiers",
            Self::ReadSpec => "read-spec",
            Self::OpenState => "open-state",
            Self::OpenRoot => "open-root",
            Self::OpenNamespace => "open-namespace",
            Self::OpenWorkDir => "open-work-dir",
            Self::OpenBundle => "open-bundle",
            Self::Lock => "lock",
            Self::Stage => "stage",
            Self::SetGroup => "set-group",
            Self::SetMode => "set-mode",
            Self::CreateRootfs => "create-rootfs",
            Self::WriteSpec => "write-spec",
            Self::Verify => "verify",
            Self::Publish => "publish",
            Self::ReadRecords => "read-records",
            Self::EndShim => "end-shim",
            Self::Unmount => "unmount",
            Self::Retire => "retire",
            Self::RemoveBundle => "remove-bundle",
            Self::RemoveWorkDir => "remove-work-dir",
            Self::List => "list",
            Self::Listen => "listen",
            Self::RecordShim => "record-shim",
            Self::StartShim => "start-shim",
            Self::ConnectShim => "connect-shim",
            Self::CallShim => "call-shim",
            Self::StopShim => "stop-shim",
            Self::RunTask => "run-task",
            Self::PublishEvent => "publish-event",
            Self::ReadEvents => "read-events",
            Self::ReadLog => "read-log",
            Self::Pair => "pair",
            Self::Recover => "recover",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure of this crate: `<what failed>: <step>: <cause>`.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Details>);

#[derive(Clone, Debug, thiserror::Error)]
struct Details {
    kind: ErrorKind,
    step: Step,
    operation: Option<String>,
    message: String,
    path: Option<PathBuf>,
    errno: Option<Errno>,
    /// What else went wrong, and what is left behind.
    notes: Vec<String>,
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = &self.operation {
            write!(f, "{operation}: ")?;
        }
        write!(f, "{}: {}", self.step, self.message)?;
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

impl Error {
    /// An error of a step.
    #[must_use]
    #[doc(hidden)]
    pub fn new(kind: ErrorKind, step: Step, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind,
            step,
            operation: None,
            message: message.into(),
            path: None,
            errno: None,
            notes: Vec::new(),
        }))
    }

    /// A system call that failed at a step.
    #[must_use]
    #[doc(hidden)]
    pub fn from_failure(step: Step, failure: &Failure) -> Self {
        let kind = match failure.errno() {
            Errno::NOSYS | Errno::NOTSUP => ErrorKind::Unsupported,
            _ => ErrorKind::Filesystem,
        };
        let mut error = Self::new(kind, step, failure.to_string());
        error.0.path = Some(failure.path().to_owned());
        error.0.errno = Some(failure.errno());
        error
    }

    /// A directory named by the operator that cannot be used.
    #[must_use]
    #[doc(hidden)]
    pub fn from_trusted_path(step: Step, error: &TrustedPathError) -> Self {
        match error {
            TrustedPathError::Failure(failure) => Self::from_failure(step, failure),
            TrustedPathError::Untrusted { path, why } => {
                Self::new(ErrorKind::Untrusted, step, why.clone()).at(path.clone())
            }
        }
    }

    /// The same error of another kind.
    #[must_use]
    #[doc(hidden)]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same error about a path.
    #[must_use]
    #[doc(hidden)]
    pub fn at(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.path = Some(path.into());
        self
    }

    /// The same error with something else that went wrong, or that is left behind.
    #[must_use]
    #[doc(hidden)]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.0.notes.push(note.into());
        self
    }

    /// Says what was being done, unless something closer to the failure has said so.
    #[must_use]
    #[doc(hidden)]
    pub fn during(mut self, operation: impl FnOnce() -> String) -> Self {
        self.0.operation.get_or_insert_with(operation);
        self
    }

    /// The same error as part of a larger operation, for example `create default/web-1`.
    #[must_use]
    pub fn with_operation(mut self, operation: impl Into<String>) -> Self {
        self.0.operation = Some(operation.into());
        self
    }

    /// What went wrong, without what was being done.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// At which step it failed.
    #[must_use]
    pub fn step(&self) -> Step {
        self.0.step
    }

    /// The path it is about, where there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The errno of the system call that failed, where one did (errno(3)).
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.0.errno.map(Errno::raw_os_error)
    }

    /// What was being done, for example `create default/web-1`.
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        self.0.operation.as_deref()
    }
}

/// Turns the failure of a system call into an error of a step.
pub trait AtStep<T> {
    /// The same result, with an error of this step.
    ///
    /// # Errors
    ///
    /// If the call failed.
    fn at_step(self, step: Step) -> Result<T>;
}

impl<T> AtStep<T> for dunnage_sys::Result<T> {
    fn at_step(self, step: Step) -> Result<T> {
        self.map_err(|failure| Error::from_failure(step, &failure))
    }
}

impl<T> AtStep<T> for Result<T, TrustedPathError> {
    fn at_step(self, step: Step) -> Result<T> {
        self.map_err(|error| Error::from_trusted_path(step, &error))
    }
}
