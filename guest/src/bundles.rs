//! The interface `bundles`: convert, decide, convert back.

use crate::bindings::dunnage::bundle::filesystem::{Directory, ErrorCode, Spec};
use crate::bindings::exports::dunnage::bundle::bundles as wit;
use crate::component::Policy;
use crate::directory::Lent;
use crate::{create, delete, identifier, records, spec};

impl wit::Guest for Policy {
    fn check_identifiers(id: wit::BundleId) -> Result<(), wit::IdentifierError> {
        Ok(identifier::check_both(&id.namespace, &id.id)?)
    }

    fn remapped_gid(spec: &Spec) -> Result<u32, wit::SpecError> {
        Ok(spec::remapped_gid(&spec.bytes())?)
    }

    fn task_settings(spec: &Spec) -> Result<wit::TaskIo, wit::SpecError> {
        let settings = spec::task_settings(&spec.bytes())?;
        Ok(wit::TaskIo { terminal: settings.terminal, io_uid: settings.io_uid, io_gid: settings.io_gid })
    }

    fn create(bundle: &Directory, id: wit::BundleId, spec: &Spec) -> Result<wit::Created, wit::CreateError> {
        // Before the spec is asked for: a bad id needs no spec.
        identifier::check_both(&id.namespace, &id.id).map_err(|error| wit::CreateError::Identifier(error.into()))?;
        let lent = Lent { directory: bundle, spec: Some(spec) };
        let remapped_gid = create::create(&lent, &id.namespace, &id.id, &spec.bytes())?;
        Ok(wit::Created { remapped_gid })
    }

    fn delete(bundle: &Directory, id: wit::BundleId) -> Result<wit::Deletion, wit::IdentifierError> {
        let lent = Lent { directory: bundle, spec: None };
        let shim = delete::delete(&lent, &id.namespace, &id.id)?;
        Ok(wit::Deletion { shim: shim.into() })
    }
}

impl From<identifier::Error> for wit::IdentifierError {
    fn from(error: identifier::Error) -> Self {
        let part = match error.part {
            identifier::Part::Namespace => wit::IdentifierPart::Namespace,
            identifier::Part::Id => wit::IdentifierPart::Id,
        };
        let fault = match error.fault {
            identifier::Fault::Empty => wit::IdentifierFault::Empty,
            identifier::Fault::TooLong(length) => wit::IdentifierFault::TooLong(length as u64),
            identifier::Fault::Character(character, position) => {
                wit::IdentifierFault::Character(wit::MisplacedCharacter { character, position })
            }
            identifier::Fault::EndsWithSeparator => wit::IdentifierFault::EndsWithSeparator,
        };
        Self { part, fault }
    }
}

impl From<spec::Error> for wit::SpecError {
    fn from(error: spec::Error) -> Self {
        let fault = match error.fault {
            spec::Fault::Syntax => wit::SpecFault::Syntax,
            spec::Fault::WrongType => wit::SpecFault::WrongType,
            spec::Fault::Number => wit::SpecFault::Number,
            spec::Fault::Depth => wit::SpecFault::Depth,
            spec::Fault::FoldedKey => wit::SpecFault::FoldedKey,
            spec::Fault::DuplicateKey => wit::SpecFault::DuplicateKey,
            spec::Fault::Encoding => wit::SpecFault::Encoding,
            spec::Fault::Surrogate => wit::SpecFault::Surrogate,
            spec::Fault::ReservedGroup => wit::SpecFault::ReservedGroup,
            spec::Fault::UnmappedUser => wit::SpecFault::UnmappedUser,
        };
        Self { fault, place: error.place, line: error.line, column: error.column, message: error.message }
    }
}

impl From<create::Error<ErrorCode>> for wit::CreateError {
    fn from(error: create::Error<ErrorCode>) -> Self {
        match error {
            create::Error::Identifier(error) => Self::Identifier(error.into()),
            create::Error::Spec(error) => Self::Spec(error.into()),
            create::Error::Filesystem(step, code) => Self::Filesystem(wit::Failure { step: step.into(), code }),
        }
    }
}

impl From<create::Step> for wit::Step {
    fn from(step: create::Step) -> Self {
        match step {
            create::Step::SetGroup => Self::SetGroup,
            create::Step::SetMode => Self::SetMode,
            create::Step::CreateRootfs => Self::CreateRootfs,
            create::Step::WriteSpec => Self::WriteSpec,
        }
    }
}

impl From<records::Records<ErrorCode>> for wit::ShimRecords {
    fn from(records: records::Records<ErrorCode>) -> Self {
        Self { address: records.address.map_err(Into::into), pid: records.pid.map_err(Into::into) }
    }
}

impl From<records::Fault<ErrorCode>> for wit::RecordFault {
    fn from(fault: records::Fault<ErrorCode>) -> Self {
        match fault {
            records::Fault::Unreadable(code) => Self::Unreadable(code),
            records::Fault::Malformed(why) => Self::Malformed(why),
        }
    }
}
