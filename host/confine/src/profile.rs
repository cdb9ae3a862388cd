//! What kinds of work there are, and what each needs: all of it in one table.

use landlock::AccessFs;
use libc::c_long;
use rustix::thread::CapabilitySet;

use crate::syscalls::{BASE, BROKER, CHANGING, DIALLING, LISTENING, OLD, WAITING};

type Rights = &'static [AccessFs];
type Calls = &'static [&'static [c_long]];

const READ: Rights = &[AccessFs::ReadFile, AccessFs::ReadDir];
// Rights that are bound to files (executing them, device ioctls) are left out: no bundle needs them.
const WRITE: Rights =
    &[AccessFs::WriteFile, AccessFs::MakeDir, AccessFs::MakeReg, AccessFs::RemoveDir, AccessFs::RemoveFile];
const TRUNCATE: Rights = &[AccessFs::Truncate];
// A deep tree is taken apart from its top, to which its lower parts are moved.
const DELETE: Rights = &[AccessFs::MakeDir, AccessFs::RemoveDir, AccessFs::RemoveFile, AccessFs::Refer];
const FIFOS: Rights = &[AccessFs::MakeFifo];
const LIST: Rights = &[AccessFs::ReadDir];
const UNLINK: Rights = &[AccessFs::RemoveFile];
const BIND: Rights = &[AccessFs::MakeSock, AccessFs::MakeDir];

const NO_CAPABILITIES: CapabilitySet = CapabilitySet::empty();
// A directory that another user has closed to us is reported as theirs, not just as closed.
const LOOK: CapabilitySet = CapabilitySet::DAC_READ_SEARCH;
// A bundle is given to the remapped group, in directories that may be closed even to their owner (`/` is
// 0555 on some systems).
const MAKE: CapabilitySet = CapabilitySet::CHOWN.union(CapabilitySet::DAC_OVERRIDE);
// A container leaves files of others, in directories that may be closed, or sticky.
const CLEAN: CapabilitySet = CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::FOWNER);
// The records of a started shim go into its bundle, which a container may have closed.
const FILE: CapabilitySet = CapabilitySet::DAC_OVERRIDE;

const READS: Calls = &[BASE, OLD];
const CHANGES: Calls = &[BASE, OLD, CHANGING];
// A socket on file is dialled before it is removed.
const DELETES: Calls = &[BASE, OLD, CHANGING, BROKER, DIALLING];
const ASKS: Calls = &[BASE, OLD, BROKER, DIALLING, WAITING];
const STOPS: Calls = &[BASE, OLD, CHANGING, BROKER, DIALLING, WAITING];
const STARTS: Calls = &[BASE, OLD, CHANGING, BROKER, DIALLING, WAITING, LISTENING];

/// A kind of work, and what it needs.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// What may be done below the state directory.
    pub(crate) state: &'static [Rights],
    /// What may be done below the root directory.
    pub(crate) root: &'static [Rights],
    /// What may be done in the directory of the sockets.
    pub(crate) sockets: &'static [Rights],
    /// Whether state and root may be missing yet.
    pub(crate) makes_bases: bool,
    /// Whether the directory of the sockets may be missing yet.
    pub(crate) makes_sockets: bool,
    /// The capabilities that are kept.
    pub(crate) capabilities: CapabilitySet,
    /// The system calls.
    pub(crate) calls: Calls,
    /// Whether abstract sockets of processes that are not confined so can be reached.
    pub(crate) abstract_sockets: bool,
    /// Whether the terminal may be set.
    pub(crate) terminal: bool,
}

const NONE: Profile = Profile {
    name: "",
    state: &[],
    root: &[],
    sockets: &[],
    makes_bases: false,
    makes_sockets: false,
    capabilities: NO_CAPABILITIES,
    calls: READS,
    abstract_sockets: false,
    terminal: false,
};

impl Profile {
    /// Only decides: no file at all.
    pub const NOTHING: Self = Self { name: "nothing", ..NONE };
    /// Looks at bundles.
    pub const READING: Self = Self { name: "reading", state: &[READ], root: &[READ], capabilities: LOOK, ..NONE };
    /// Waits for records below the state directory, which may be followed before there is any.
    pub const FOLLOWING: Self = Self {
        name: "following",
        state: &[READ],
        makes_bases: true,
        capabilities: LOOK,
        calls: &[BASE, OLD, WAITING],
        ..NONE
    };
    /// Makes bundles.
    pub const CREATING: Self = Self {
        name: "creating",
        state: &[READ, WRITE],
        root: &[READ, WRITE],
        makes_bases: true,
        capabilities: MAKE,
        calls: CHANGES,
        ..NONE
    };
    /// Writes records below the state directory.
    pub const RECORDING: Self =
        Self { name: "recording", state: &[READ, WRITE, TRUNCATE], makes_bases: true, calls: CHANGES, ..NONE };
    /// Deletes bundles.
    pub const DELETING: Self = Self {
        name: "deleting",
        // Writing is for our records, which tell of the end of a container.
        state: &[READ, DELETE, WRITE, TRUNCATE],
        root: &[READ, DELETE],
        sockets: &[LIST, UNLINK],
        capabilities: CLEAN,
        calls: DELETES,
        ..NONE
    };
    /// Makes bundles and deletes them, or what is left of them.
    pub const CYCLING: Self = Self {
        name: "cycling",
        state: &[READ, WRITE, DELETE, TRUNCATE],
        root: &[READ, WRITE, DELETE],
        makes_bases: true,
        capabilities: MAKE.union(CLEAN),
        ..Self::DELETING
    };
    /// Looks at bundles, and whether their shims are running.
    pub const INSPECTING: Self = Self { name: "inspecting", calls: &[BASE, OLD, BROKER], ..Self::READING };
    /// Asks shims.
    pub const ASKING: Self = Self { name: "asking", sockets: &[LIST], calls: ASKS, ..Self::READING };
    /// Asks shims to do things to containers, connects their streams, and tells of it.
    pub const CONTROLLING: Self = Self {
        name: "controlling",
        state: &[READ, WRITE, DELETE, TRUNCATE, FIFOS],
        root: &[READ],
        sockets: &[LIST],
        capabilities: FILE,
        calls: &[BASE, OLD, CHANGING, BROKER, DIALLING, WAITING, LISTENING],
        terminal: true,
        ..NONE
    };
    /// Waits for what a container writes.
    pub const FOLLOWING_LOG: Self = Self { name: "following a log", calls: &[BASE, OLD, WAITING], ..Self::READING };
    /// Asks shims, and ends them.
    pub const STOPPING: Self = Self { name: "stopping", sockets: &[LIST, UNLINK], calls: STOPS, ..Self::READING };
    /// Waits for a container, and deletes its bundle; started before there is any.
    pub const REMOVING: Self =
        Self { name: "removing", makes_bases: true, makes_sockets: true, calls: STOPS, ..Self::DELETING };
    /// Listens for shims, and connects to them.
    pub const STARTING: Self = Self {
        name: "starting",
        state: &[READ, WRITE, DELETE, TRUNCATE, FIFOS],
        root: &[READ, WRITE, DELETE, FIFOS],
        sockets: &[LIST, UNLINK, BIND],
        makes_bases: true,
        makes_sockets: true,
        capabilities: FILE,
        calls: STARTS,
        ..NONE
    };
    /// Makes bundles, starts their shims, copies streams, and deletes what it has made.
    pub const RUNNING: Self =
        Self { name: "running", capabilities: MAKE.union(CLEAN), terminal: true, ..Self::STARTING };

    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::NOTHING,
        Self::READING,
        Self::FOLLOWING,
        Self::CREATING,
        Self::RECORDING,
        Self::DELETING,
        Self::CYCLING,
        Self::INSPECTING,
        Self::ASKING,
        Self::CONTROLLING,
        Self::FOLLOWING_LOG,
        Self::STOPPING,
        Self::REMOVING,
        Self::STARTING,
        Self::RUNNING,
    ];

    /// The same, with abstract sockets too.
    #[must_use]
    pub const fn with_abstract_sockets(self, wanted: bool) -> Self {
        Self { abstract_sockets: wanted, ..self }
    }
}
