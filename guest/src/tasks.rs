//! The interface `tasks`: convert, decide, convert back.

use core::ops::Range;

use crate::bindings::dunnage::bundle::filesystem::Spec;
use crate::bindings::exports::dunnage::bundle::bundles::SpecError;
use crate::bindings::exports::dunnage::bundle::tasks as wit;
use crate::component::Policy;
use crate::spec;

impl wit::Guest for Policy {
    fn process_parts_of(spec: &Spec) -> Result<wit::ProcessParts, SpecError> {
        let parts = spec::process_parts(&spec.bytes())?;
        let [
            user,
            cwd,
            env,
            capabilities,
            rlimits,
            no_new_privileges,
            apparmor_profile,
            oom_score_adj,
            selinux_label,
            scheduler,
            io_priority,
        ] = parts.map(|part| part.map(wit::ByteRange::from));
        Ok(wit::ProcessParts {
            user,
            cwd,
            env,
            capabilities,
            rlimits,
            no_new_privileges,
            apparmor_profile,
            oom_score_adj,
            selinux_label,
            scheduler,
            io_priority,
        })
    }
}

impl From<Range<usize>> for wit::ByteRange {
    fn from(range: Range<usize>) -> Self {
        Self { offset: range.start as u64, length: range.len() as u64 }
    }
}
