//! The policy beside the oracle. The fuzz targets in `host/fuzz` include this too.

use dunnage_policy::spec::{
    quick_remapped_gid, quick_task_settings, remapped_gid, task_settings, thorough_remapped_gid, thorough_task_settings,
};

use super::oracle;

/// Compares the policy with the oracle; the outcome is for counting.
pub(crate) fn agree(input: &[u8]) -> Result<String, String> {
    let ruling = oracle::rule(input);
    let answer = remapped_gid(input);
    readers_agree(input)?;
    let agrees = match &answer {
        Ok(gid) => ruling.refusals.is_empty() && ruling.original == Some(*gid),
        Err(error) => ruling.refusals.contains(&error.fault),
    };
    if !agrees {
        return Err(format!("{answer:?}, but {ruling:?}: {}", input.escape_ascii()));
    }
    Ok(match answer {
        Ok(0) => "none".into(),
        Ok(_) => "remapped".into(),
        Err(error) => format!("{:?}", error.fault),
    })
}

/// The same for what the caller of a shim needs to know.
pub(crate) fn agree_on_task(input: &[u8]) -> Result<String, String> {
    let (refusals, expected) = oracle::rule_task(input);
    let answer = task_settings(input);
    readers_agree(input)?;
    let agrees = match &answer {
        Ok(found) => refusals.is_empty() && (found.terminal, found.io_uid, found.io_gid) == expected,
        Err(error) => refusals.contains(&error.fault),
    };
    if !agrees {
        return Err(format!("{answer:?}, but {refusals:?} or {expected:?}: {}", input.escape_ascii()));
    }
    Ok(match answer {
        Ok(found) if found.io_uid == 0 && found.io_gid == 0 => "root".into(),
        Ok(_) => "user".into(),
        Err(error) => format!("{:?}", error.fault),
    })
}

/// What the quick reader answers, the thorough one does too; it need not answer.
pub(crate) fn readers_agree(input: &[u8]) -> Result<(), String> {
    if let Some(quick) = quick_remapped_gid(input) {
        let thorough = thorough_remapped_gid(input);
        if thorough != Ok(quick) {
            return Err(format!("quickly {quick}, but {thorough:?}: {}", input.escape_ascii()));
        }
    }
    if let Some(quick) = quick_task_settings(input) {
        let thorough = thorough_task_settings(input);
        if thorough != Ok(quick) {
            return Err(format!("quickly {quick:?}, but {thorough:?}: {}", input.escape_ascii()));
        }
    }
    Ok(())
}
