//! What the policy answers, as this crate's types and in words.

use dunnage_core::{BundleId, Error, ErrorKind, ProcessParts, ShimRecords, Spec, Step, printable_line};
use dunnage_sys::Failure;

use crate::bindings::exports::dunnage::bundle::{bundles as wit, tasks};
use crate::errno::describe;

impl From<wit::ShimRecords> for ShimRecords {
    fn from(records: wit::ShimRecords) -> Self {
        let address = records.address.map_err(fault_text).and_then(|address| match address {
            Some(text) if !is_address(&text) => Err("the policy did not return a single line of text".to_owned()),
            address => Ok(address),
        });
        Self { address, pid: records.pid.map_err(fault_text) }
    }
}

/// Whether an address is one line of a bounded length: programs read it, terminals show it.
fn is_address(text: &str) -> bool {
    text.len() <= 4096 && !text.chars().any(char::is_control)
}

/// The host's own check of an address that the policy answered.
pub(super) fn checked_address(address: String) -> Result<String, Error> {
    if is_address(&address) {
        return Ok(address);
    }
    Err(broken("it returned an address that is not a single line of text"))
}

/// The policy gave an answer that breaks a rule.
pub(crate) fn broken(how: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::PolicyBroken, Step::Decide, format!("the policy broke a rule: {how}"))
}

pub(super) fn identifier_error(id: &BundleId, error: wit::IdentifierError) -> Error {
    let (part, value) = match error.part {
        wit::IdentifierPart::Namespace => ("namespace", id.namespace()),
        wit::IdentifierPart::Id => ("id", id.id()),
    };
    let fault = match error.fault {
        wit::IdentifierFault::Empty => "it is empty".to_owned(),
        wit::IdentifierFault::TooLong(length) => format!("it has {length} bytes, but at most 76 are allowed"),
        wit::IdentifierFault::Character(wit::MisplacedCharacter { character, position }) => {
            format!("{character:?} is not allowed at position {position}")
        }
        wit::IdentifierFault::EndsWithSeparator => "it ends with a separator".to_owned(),
    };
    // The caller or an attacker chose its length.
    let shown: String = value.chars().take(80).collect();
    let message = format!(
        "the {part} {shown:?} is not valid: {fault}; use letters and digits with single `.`, `_` or `-` between them"
    );
    Error::new(ErrorKind::InvalidIdentifier, Step::CheckIdentifiers, message)
}

pub(super) fn spec_error(error: wit::SpecError, spec: &Spec) -> Error {
    let mut message = printable(&error.message);
    if !error.place.is_empty() && !error.message.contains(&error.place) {
        message.push_str(&format!(" at {}", printable(&error.place)));
    }
    if error.line != 0 {
        message.push_str(&format!(" (line {}, column {})", error.line, error.column));
    }
    if let Some(source) = spec.source() {
        message = format!("{source}: {message}");
    }
    Error::new(ErrorKind::InvalidSpec, Step::Decide, message)
}

/// A file-system call that failed while the policy built a bundle. The host knows more about it
/// than it told the policy, if it is the same failure.
pub(super) fn create_failure(failure: wit::Failure, known: Option<&Failure>) -> Error {
    let step = match failure.step {
        wit::Step::SetGroup => Step::SetGroup,
        wit::Step::SetMode => Step::SetMode,
        wit::Step::CreateRootfs => Step::CreateRootfs,
        wit::Step::WriteSpec => Step::WriteSpec,
    };
    let error = match known.filter(|known| wit::ErrorCode::from(known.errno()) == failure.code) {
        Some(known) => Error::from_failure(step, known),
        None => Error::new(ErrorKind::Filesystem, step, describe(failure.code)),
    };
    if step == Step::SetGroup && error.errno() == Some(rustix::io::Errno::PERM.raw_os_error()) {
        return error.note("giving a bundle to a remapped group requires CAP_CHOWN: run as root");
    }
    error
}

pub(super) fn bad_record(file: &str, fault: wit::RecordFault) -> Error {
    let message = format!("the file `{file}` in the bundle cannot be used: {}", fault_text(fault));
    Error::new(ErrorKind::BadRecord, Step::ReadRecords, message)
}

fn fault_text(fault: wit::RecordFault) -> String {
    match fault {
        wit::RecordFault::Unreadable(code) => describe(code),
        wit::RecordFault::Malformed(text) => printable(&text),
    }
}

/// The parts of the spec that the policy has named.
pub(super) fn process_parts(parts: tasks::ProcessParts, spec: &Spec) -> Result<ProcessParts, Error> {
    let part = |range: Option<tasks::ByteRange>| {
        let Some(tasks::ByteRange { offset, length }) = range else { return Ok(None) };
        let bytes = usize::try_from(offset)
            .ok()
            .zip(usize::try_from(length).ok())
            .and_then(|(offset, length)| spec.as_bytes().get(offset..offset.checked_add(length)?));
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| broken("it named a part of the spec that is not there, or not text"))?;
        Ok(Some(text.to_owned()))
    };
    Ok(ProcessParts {
        user: part(parts.user)?,
        cwd: part(parts.cwd)?,
        env: part(parts.env)?,
        others: [
            ("capabilities", part(parts.capabilities)?),
            ("rlimits", part(parts.rlimits)?),
            ("noNewPrivileges", part(parts.no_new_privileges)?),
            ("apparmorProfile", part(parts.apparmor_profile)?),
            ("oomScoreAdj", part(parts.oom_score_adj)?),
            ("selinuxLabel", part(parts.selinux_label)?),
            ("scheduler", part(parts.scheduler)?),
            ("ioPriority", part(parts.io_priority)?),
        ],
    })
}

/// The beginning of a text of the policy, as it may go to a terminal.
pub(super) fn printable(text: &str) -> String {
    const MAX_CHARACTERS: usize = 4096;
    let end = text.char_indices().nth(MAX_CHARACTERS).map_or(text.len(), |(end, _)| end);
    printable_line(text.get(..end).unwrap_or_default()).into_owned()
}
