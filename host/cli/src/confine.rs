//! Confining this process as a command needs it: which places it works in, and which profile it has.

use std::io;
use std::path::Path;

use dunnage::broker::Broker;
use dunnage::shim::StartOptions;
pub(super) use dunnage_confine::Profile;
use dunnage_confine::{AllowedPaths, ConfinementReport};

use super::failure::Failed;
use super::options::Global;

/// Confines this process and says, for people, how far that went.
pub(super) fn confine(global: &Global, profile: &Profile) -> String {
    confine_but_for(global, profile, global.policy.as_deref(), None)
}

/// The same with a policy file to be read that the options do not name.
pub(super) fn confine_with_policy(global: &Global, profile: &Profile, policy: Option<&Path>) -> String {
    confine_but_for(global, profile, policy, None)
}

/// The same with a log to be read that may lie anywhere.
pub(super) fn confine_with_log(global: &Global, profile: &Profile, log: Option<&Path>) {
    confine_but_for(global, profile, global.policy.as_deref(), log.and_then(Path::parent));
}

/// The same for a command that also must unmount, or to look at processes: the broker that does
/// that for it. No file may be open yet, and no other thread running.
pub(super) fn confine_beside_broker(global: &Global, profile: &Profile) -> Result<Option<Broker>, Failed> {
    confine_beside_broker_with_log(global, profile, None)
}

/// The same with a log to be read that may lie anywhere.
pub(super) fn confine_beside_broker_with_log(
    global: &Global,
    profile: &Profile,
    log: Option<&Path>,
) -> Result<Option<Broker>, Failed> {
    confine_beside(global, profile, log, || Broker::start(&global.state, &global.root))
}

/// The same for a command that starts shims, by these options.
pub(super) fn confine_beside_starter(
    global: &Global,
    profile: &Profile,
    options: &StartOptions,
) -> Result<Option<Broker>, Failed> {
    confine_beside(global, profile, None, || Broker::start_with_shims(&global.setup(), options))
}

/// Without its broker a command would have to stay unconfined: it is refused instead.
fn confine_beside(
    global: &Global,
    profile: &Profile,
    log: Option<&Path>,
    start: impl FnOnce() -> io::Result<Broker>,
) -> Result<Option<Broker>, Failed> {
    if global.no_confine {
        return Ok(None);
    }
    let broker = start().map_err(|error| Failed::confining(&error))?;
    confine_with_log(global, profile, log);
    Ok(Some(broker))
}

fn confine_but_for(global: &Global, profile: &Profile, policy: Option<&Path>, log_dir: Option<&Path>) -> String {
    if global.no_confine {
        return "process: not confined, as requested".to_owned();
    }
    let Global { state, root, socket_root, .. } = global;
    let paths = AllowedPaths { state, root, socket_root, policy, log_dir };
    let report: ConfinementReport = dunnage_confine::confine(&paths, profile);
    report.to_string()
}
