//! What a guard answers, checked: its text goes to terminals, logs and other programs.

use dunnage_core::{Denial, GuardMetadata, Operation, Verdict, printable_line};

use super::bindings::dunnage::guard::types as wit;

/// The longest name of a guard or a rule, and the longest sentence, in characters.
const MAX_NAME: usize = 64;
const MAX_LINE: usize = 1024;
/// How many warnings are passed on.
const MAX_WARNINGS: usize = 32;
/// How many places a guard may say that it reads.
const MAX_READS: usize = 256;

pub(super) fn verdict(verdict: wit::Verdict) -> Result<Verdict, String> {
    match verdict {
        wit::Verdict::Allow(warnings) => {
            Ok(Verdict::Allow(warnings.iter().take(MAX_WARNINGS).map(|warning| line(warning)).collect()))
        }
        wit::Verdict::Deny(denial) => {
            if !is_name(&denial.rule) {
                return Err(format!("it named the rule {:?}", line(&denial.rule)));
            }
            let pointer = denial.pointer.map(|pointer| line(&pointer));
            Ok(Verdict::Deny(Denial { rule: denial.rule, reason: line(&denial.reason), pointer }))
        }
    }
}

pub(super) fn metadata(metadata: wit::Metadata) -> Result<GuardMetadata, String> {
    if !is_name(&metadata.name) {
        return Err(format!("it calls itself {:?}", line(&metadata.name)));
    }
    let mut operations: Vec<_> = Operation::ALL.into();
    operations.retain(|operation| metadata.operations.contains(&(*operation).into()));
    Ok(GuardMetadata {
        name: metadata.name,
        version: line(&metadata.version),
        reads: metadata.reads.iter().take(MAX_READS).map(|place| line(place)).collect(),
        operations,
    })
}

/// Lower-case letters, digits and dashes.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Text as one bounded line for a terminal.
pub(super) fn line(text: &str) -> String {
    let bounded: String = text.chars().take(MAX_LINE).collect();
    printable_line(&bounded).into_owned()
}
