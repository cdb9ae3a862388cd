//! The arguments of a shim, which root executes: the policy decides, and whatever it answers has
//! to be made of what it was told.

use std::path::Path;

#[cfg(feature = "shim")]
use super::ShimOptions;
use super::{ShimConfig, text};
use crate::bindings::exports::dunnage::bundle::shims as wit;
use crate::bundle::Bundle;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::policy::{Policy, broken};

/// The arguments to start the shim of a bundle with, without its name.
pub(crate) fn start_arguments(
    policy: &Policy,
    config: &Config,
    bundle: &Bundle,
    shim: &ShimConfig,
    publisher: &Path,
    debug: bool,
) -> Result<Vec<String>> {
    let own = (text(bundle.path())?, text(bundle.work_dir())?);
    if (&shim.path, &shim.work_dir, &*shim.namespace) != (&own.0, &own.1, bundle.id().namespace()) {
        return Err(unusable("the settings are not those of this bundle"));
    }
    let told = wit::ShimConfig {
        path: shim.path.clone(),
        work_dir: shim.work_dir.clone(),
        namespace: shim.namespace.clone(),
        runtime_root: shim.runtime_root.clone(),
        systemd_cgroup: shim.systemd_cgroup,
    };
    let start = wit::StartOptions { daemon: config.daemon_address.clone(), publisher: text(publisher)?, debug };
    if [&told.work_dir, &told.runtime_root, &start.daemon, &start.publisher].iter().any(|value| value.contains('\0')) {
        return Err(unusable("the settings hold a NUL, which no argument can"));
    }
    let arguments = policy.start_arguments(config, bundle.id(), &told, &start)?;
    check(&arguments, &told, &start)?;
    Ok(arguments)
}

/// Checks arguments that come from a process which the policy's answers have gone through, and that
/// may be in other hands since: they have to be those of a shim of this bundle.
#[cfg(feature = "shim")]
pub(crate) fn check_start_arguments(
    arguments: &[String],
    bundle: &Bundle,
    settings: &ShimOptions,
    daemon: &str,
    publisher: &Path,
    debug: bool,
) -> Result<()> {
    let start = wit::StartOptions { daemon: daemon.to_owned(), publisher: text(publisher)?, debug };
    let mut told = wit::ShimConfig {
        path: text(bundle.path())?,
        work_dir: text(bundle.work_dir())?,
        namespace: bundle.id().namespace().to_owned(),
        runtime_root: settings.runtime_root.clone(),
        systemd_cgroup: settings.runc.as_ref().is_some_and(|runc| runc.systemd_cgroup),
    };
    // Which of the two runtime roots it is to be was for the policy to decide.
    let by_node = check(arguments, &told, &start);
    let Some(runc) = &settings.runc else { return by_node };
    told.runtime_root.clone_from(&runc.runtime_root);
    by_node.or_else(|_| check(arguments, &told, &start))
}

fn unusable(why: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, Step::Configure, why)
}

/// A flag of the shim.
struct Flag<'a> {
    name: &'static str,
    /// The value that has to follow; a switch has none.
    value: Option<&'a str>,
    presence: Presence,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// The shim does not know whose it is without this flag.
    Required,
    Allowed,
    Forbidden,
}

/// All flags that may stand, each with the one value that it may have.
fn flags<'a>(told: &'a wit::ShimConfig, start: &'a wit::StartOptions) -> [Flag<'a>; 7] {
    let required = |name, value: &'a str| Flag { name, value: Some(value), presence: Presence::Required };
    let allowed = |asked| if asked { Presence::Allowed } else { Presence::Forbidden };
    [
        required("-namespace", &told.namespace),
        required("-workdir", &told.work_dir),
        required("-address", &start.daemon),
        required("-containerd-binary", &start.publisher),
        Flag {
            name: "-runtime-root",
            value: Some(&told.runtime_root),
            presence: allowed(!told.runtime_root.is_empty()),
        },
        Flag { name: "-systemd-cgroup", value: None, presence: allowed(told.systemd_cgroup) },
        Flag { name: "-debug", value: None, presence: allowed(start.debug) },
    ]
}

/// Checks arguments that the policy answered. As every flag may stand once, with the value that
/// was told, their number and their length are bounded too.
fn check(arguments: &[String], told: &wit::ShimConfig, start: &wit::StartOptions) -> Result<()> {
    // Flags are taken off the list when they are met, so that none is met twice.
    let mut left: Vec<Flag<'_>> = flags(told, start).into();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let met = left.iter().position(|flag| flag.name == argument && flag.presence != Presence::Forbidden);
        let Some(flag) = met.map(|index| left.swap_remove(index)) else {
            // As long and as odd as the policy likes.
            let shown: String = argument.chars().take(80).collect();
            return Err(broken(format!(
                "it answered the shim argument {shown:?}, which was not asked for or stands twice"
            )));
        };
        if flag.value.is_some() && arguments.next().map(String::as_str) != flag.value {
            return Err(broken(format!(
                "it answered another value for the shim's flag {} than it was told",
                flag.name
            )));
        }
    }
    match left.iter().find(|flag| flag.presence == Presence::Required) {
        Some(flag) => Err(broken(format!("it left out the shim's flag {}", flag.name))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(arguments: &[&str], asked: bool) -> Result<()> {
        let told = wit::ShimConfig {
            path: "/b".into(),
            work_dir: "/w".into(),
            namespace: "moby".into(),
            runtime_root: if asked { "/r".into() } else { String::new() },
            systemd_cgroup: asked,
        };
        let start = wit::StartOptions { daemon: String::new(), publisher: "/p".into(), debug: asked };
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        check(&arguments, &told, &start)
    }

    const NEEDED: [&str; 8] = ["-namespace", "moby", "-workdir", "/w", "-address", "", "-containerd-binary", "/p"];

    #[test]
    fn what_was_told_may_be_answered_in_any_order() {
        let all = [&NEEDED[..], &["-debug", "-runtime-root", "/r", "-systemd-cgroup"]].concat();
        verdict(&NEEDED, true).unwrap();
        verdict(&NEEDED, false).unwrap();
        verdict(&all, true).unwrap();
        verdict(&[&all[8..], &all[..8]].concat(), true).unwrap();
    }

    #[test]
    fn whatever_else_is_refused() {
        for (extra, asked) in [
            (&["-debug"][..], false),
            (&["-systemd-cgroup"], false),
            (&["-runtime-root", ""], false),
            (&["-debug", "-debug"], true),
            (&["-runtime-root", "/r", "-runtime-root", "/r"], true),
            (&["-runtime-root"], true),
            (&["-runtime-root", "/R"], true),
            (&["-runtime-root=/r"], true),
            (&["--debug"], true),
            (&["-debug=true"], true),
            (&["-debug\0"], true),
            (&["-socket", "/s"], true),
            (&["-criu", "/c"], true),
            (&["-address", ""], true),
            (&[""], true),
            (&["--"], true),
        ] {
            let error = verdict(&[&NEEDED[..], extra].concat(), asked).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PolicyBroken, "{extra:?}");
            assert!(error.to_string().contains("the policy broke a rule: "), "{error}");
        }
    }

    #[test]
    fn the_shim_is_told_whose_it_is() {
        for pair in [0, 2, 4, 6] {
            let mut without = NEEDED.to_vec();
            without.drain(pair..pair + 2);
            verdict(&without, false).unwrap_err();
            let mut other = NEEDED.to_vec();
            other[pair + 1] = "/other";
            verdict(&other, false).unwrap_err();
            verdict(&NEEDED[..pair + 1], false).unwrap_err();
        }
        verdict(&[], false).unwrap_err();
    }
}
