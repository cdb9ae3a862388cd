//! The settings file: what the command line has, and the guards. What stands on the command line or in
//! the environment counts more.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Command;
use dunnage::guards::{GuardConfig, Mode};
use dunnage::{Limits, Step};
use dunnage_sys::trusted_path::{TrustedPathError, open_trusted};
use dunnage_sys::{Failure, FileKind, Name, effective_ids};
use rustix::io::Errno;
use serde::Deserialize;

use super::failure::Failed;

/// Where it is if nothing else is said. It need not be there.
pub(super) const DEFAULT_FILE: &str = "/etc/dunnage/dunnage.toml";
const VARIABLE: &str = "DUNNAGE_CONFIG";
/// The largest file that is read, in bytes.
const MAX_SIZE: u64 = 1 << 20;
/// Whoever can write to it could allow everything.
const WRITABLE: u32 = 0o022;

/// What the file says.
#[derive(Default)]
pub(super) struct Settings {
    /// The file, if there is one.
    pub(super) file: Option<PathBuf>,
    /// Values of options, by their names.
    options: Vec<(&'static str, String)>,
    /// The guards that are asked, in this order.
    pub(super) guards: Vec<GuardConfig>,
    /// What each of their calls may use.
    pub(super) guard_limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    state: Option<String>,
    root: Option<String>,
    namespace: Option<String>,
    address: Option<String>,
    socket_root: Option<String>,
    output: Option<String>,
    policy: Option<String>,
    policy_digest: Option<String>,
    gid_range: Option<String>,
    max_spec_size: Option<String>,
    durable: Option<bool>,
    no_confine: Option<bool>,
    #[serde(default)]
    guard_limits: FileLimits,
    #[serde(default)]
    guard: Vec<FileGuard>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct FileLimits {
    time_ms: Option<u64>,
    memory_bytes: Option<usize>,
    steps: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileGuard {
    name: String,
    digest: Option<String>,
    #[serde(default)]
    mode: Mode,
    settings: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Settings {
    /// Reads the file that the arguments or the environment name, or the default one if it is there.
    pub(super) fn load(arguments: &[OsString]) -> anyhow::Result<Self> {
        let named = named_in(arguments)?.or_else(|| std::env::var_os(VARIABLE)).filter(|file| !file.is_empty());
        let file = PathBuf::from(named.clone().unwrap_or_else(|| DEFAULT_FILE.into()));
        match read(&file)? {
            Some(content) => Ok(Self::parse(&file, &content)?),
            None if named.is_some() => Err(Failed::settings(&file, "there is no such file").into()),
            None => Ok(Self::default()),
        }
    }

    fn parse(file: &Path, content: &str) -> Result<Self, Failed> {
        let parsed: File = toml::from_str(content).map_err(|error| {
            let place = error.span().map(|span| place_of(content, span.start)).unwrap_or_default();
            Failed::settings(file, &format!("{place}{}", error.message().trim_end().replace('\n', ", ")))
        })?;
        let on = |value: Option<bool>| value.map(|on| on.to_string());
        let options = [
            ("state", parsed.state),
            ("root", parsed.root),
            ("namespace", parsed.namespace),
            ("address", parsed.address),
            ("socket_root", parsed.socket_root),
            ("output", parsed.output),
            ("policy", parsed.policy),
            ("policy_digest", parsed.policy_digest),
            ("gid_range", parsed.gid_range),
            ("max_spec_size", parsed.max_spec_size),
            ("durable", on(parsed.durable)),
            ("no_confine", on(parsed.no_confine)),
        ];
        let guards = parsed.guard.into_iter().map(|guard| guard.config(file)).collect::<Result<_, _>>()?;
        Ok(Self {
            file: Some(file.to_owned()),
            options: options.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            guards,
            guard_limits: parsed.guard_limits.limits(file)?,
        })
    }

    /// Makes what the file says the defaults of options.
    pub(super) fn apply(&self, command: Command) -> Command {
        if self.options.is_empty() {
            return command;
        }
        command.mut_args(|argument| {
            let value = self.options.iter().find(|(name, _)| argument.get_id() == name);
            match value {
                // They are needed as long as this process.
                Some((_, value)) => argument.default_value(&*Box::leak(value.clone().into_boxed_str())),
                None => argument,
            }
        })
    }
}

impl FileLimits {
    fn limits(&self, file: &Path) -> Result<Limits, Failed> {
        if self.time_ms == Some(0) {
            return Err(Failed::settings(file, "a limit of 0 ms leaves no time to answer"));
        }
        let mut limits = Limits::default();
        limits.time = self.time_ms.map_or(limits.time, Duration::from_millis);
        limits.memory = self.memory_bytes.unwrap_or(limits.memory);
        limits.steps = self.steps.unwrap_or(limits.steps);
        Ok(limits)
    }
}

impl FileGuard {
    fn config(self, file: &Path) -> Result<GuardConfig, Failed> {
        let mut config = GuardConfig::shipped();
        if self.name != config.name {
            let known =
                format!("there is no guard {:?}; the one that is shipped is called {:?}", self.name, config.name);
            return Err(Failed::settings(file, &known));
        }
        config.digest = self.digest;
        config.mode = self.mode;
        if let Some(settings) = self.settings {
            config.settings = serde_json::Value::Object(settings).to_string();
        }
        Ok(config)
    }
}

/// The value of `--config`, before anything else is parsed. Of two, another parser could take the other.
fn named_in(arguments: &[OsString]) -> Result<Option<OsString>, Failed> {
    let mut named: Option<OsString> = None;
    let mut arguments = arguments.iter().skip(1).take_while(|argument| *argument != "--");
    while let Some(argument) = arguments.next() {
        let value = if argument == "--config" {
            arguments.next().cloned()
        } else {
            let value = argument.as_encoded_bytes().strip_prefix(b"--config=");
            value.map(|value| <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(value).to_owned())
        };
        let Some(value) = value else { continue };
        if named.replace(value).is_some() {
            return Err(Failed::settings(Path::new("--config"), "it is given more than once"));
        }
    }
    Ok(named)
}

/// The content of a file that only its owner, this user or root, can write to, like the directories above
/// it; `None` if there is none.
fn read(file: &Path) -> anyhow::Result<Option<String>> {
    let refused = |why: &str| Failed::settings(file, why);
    // A system call that fails says nothing about the file.
    let failed = |failure: &Failure| dunnage::Error::from_failure(Step::Configure, failure).with_operation("settings");
    let name = file.file_name().and_then(|name| Name::new(name.as_encoded_bytes()).ok());
    let name = name.ok_or_else(|| refused("it is not the path of a file"))?;
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = match open_trusted(parent) {
        Err(TrustedPathError::Failure(failure)) if failure.errno() == Errno::NOENT && !is_dangling(parent) => {
            return Ok(None);
        }
        Err(TrustedPathError::Failure(failure)) if failure.errno() == Errno::NOENT => {
            return Err(refused("a link on the way to it leads nowhere").into());
        }
        Err(TrustedPathError::Failure(failure)) => return Err(failed(&failure).into()),
        Err(error @ TrustedPathError::Untrusted { .. }) => return Err(refused(&error.to_string()).into()),
        Ok(directory) => directory,
    };
    let found = match directory.metadata_at(&name) {
        Err(failure) if failure.errno() == Errno::NOENT => return Ok(None),
        found => found.map_err(|failure| failed(&failure))?,
    };
    if found.kind != FileKind::Regular {
        return Err(refused("it is not a regular file; links are not followed").into());
    }
    if ![0, effective_ids().0].contains(&found.uid) || found.mode & WRITABLE != 0 {
        let why = format!(
            "others can change it (owner {}, mode {:04o}); it must belong to root or this user: chmod go-w",
            found.uid, found.mode
        );
        return Err(refused(&why).into());
    }
    let content = directory.read_file(&name, MAX_SIZE).map_err(|failure| failed(&failure))?;
    Ok(Some(String::from_utf8(content).map_err(|_| refused("it is not UTF-8"))?))
}

/// Whether a link on the way leads nowhere: that is not the same as that there is no file.
fn is_dangling(directory: &Path) -> bool {
    directory.ancestors().any(|ancestor| ancestor.is_symlink() && !ancestor.exists())
}

/// Line and column of a byte.
fn place_of(content: &str, at: usize) -> String {
    let before = content.get(..at).unwrap_or(content);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(content: &str) -> Result<Settings, String> {
        Settings::parse(Path::new("/f"), content).map_err(|error| error.to_string())
    }

    #[test]
    fn guards_and_options_are_read() {
        let settings = parse(
            "state = \"/s\"\ndurable = true\n[guard-limits]\ntime-ms = 50\n\
             [[guard]]\nname = \"baseline\"\nmode = \"audit\"\n[guard.settings]\nprofile = \"restricted\"\n",
        )
        .unwrap();
        assert_eq!(settings.options, [("state", "/s".to_owned()), ("durable", "true".to_owned())]);
        assert_eq!(settings.guard_limits.time, Duration::from_millis(50));
        let [guard] = &*settings.guards else { panic!("one guard") };
        assert_eq!((guard.mode, &*guard.settings), (Mode::Audit, r#"{"profile":"restricted"}"#));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (content, expected) in [
            ("state = 1\n", "line 1, column 9: "),
            ("\n\nstat = \"/s\"\n", "line 3, column 1: unknown field `stat`"),
            ("[[guard]]\nname = \"baseline\"\nmode = \"off\"\n", "line 3, column 8: unknown variant `off`"),
            ("[[guard]]\nname = \"other\"\n", "there is no guard \"other\""),
            ("state = \"\n", "line 1, column "),
        ] {
            let error = parse(content).map(drop).unwrap_err();
            assert!(error.contains(expected) && error.contains("/f"), "{content}: {error}");
        }
    }

    #[test]
    fn the_file_is_named_before_all_else_is_parsed() {
        let named = |line: &str| named_in(&line.split(' ').map(OsString::from).collect::<Vec<_>>()).ok();
        assert_eq!(named("dunnage list --config /c"), Some(Some("/c".into())));
        assert_eq!(named("dunnage --config=/c list"), Some(Some("/c".into())));
        assert_eq!(named("dunnage exec c -- x --config /c"), Some(None));
        assert_eq!(named("dunnage --config /a list --config=/b"), None);
    }
}
