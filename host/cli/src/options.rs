//! The options that every command takes.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args};
use dunnage::broker::Broker;
use dunnage::guards::GuardConfig;
use dunnage::{Builder, BundleId, Dunnage, GroupRanges, PolicySource, Spec, SpecFile};

use super::settings::Settings;
use super::{Failed, Output};

#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// State directory; bundles are in DIR/NAMESPACE/ID
    #[arg(long, global = true, value_name = "DIR", env = "DUNNAGE_STATE", default_value = dunnage::DEFAULT_STATE)]
    pub(super) state: PathBuf,
    /// Root directory; work directories are in DIR/NAMESPACE/ID
    #[arg(long, global = true, value_name = "DIR", env = "DUNNAGE_ROOT", default_value = dunnage::DEFAULT_ROOT)]
    pub(super) root: PathBuf,
    /// Namespace of the bundle
    #[arg(short, long, global = true, value_name = "NS", env = "DUNNAGE_NAMESPACE", default_value = dunnage::DEFAULT_NAMESPACE)]
    pub(super) namespace: String,
    /// Daemon address that is hashed into the addresses of shims; may be empty
    #[arg(short, long, global = true, value_name = "PATH", env = "DUNNAGE_ADDRESS", default_value = dunnage::DEFAULT_DAEMON_ADDRESS)]
    pub(super) address: String,
    /// Directory for the sockets of shims
    #[arg(long, global = true, value_name = "DIR", env = "DUNNAGE_SOCKET_ROOT", default_value = dunnage::DEFAULT_SOCKET_ROOT)]
    pub(super) socket_root: PathBuf,
    /// Format of results and errors
    #[arg(short, long, global = true, value_enum, env = "DUNNAGE_OUTPUT", default_value_t = Output::Table)]
    pub(super) output: Output,
    /// Policy component to use instead of the built-in one
    #[arg(long, global = true, value_name = "FILE", env = "DUNNAGE_POLICY")]
    pub(super) policy: Option<PathBuf>,
    /// Expected digest of the policy component: sha256:HEX
    #[arg(long, global = true, value_name = "DIGEST", env = "DUNNAGE_POLICY_DIGEST")]
    pub(super) policy_digest: Option<String>,
    /// Group ids that bundles may be given to, as ranges A-B separated by commas [default: any]
    #[arg(long, global = true, value_name = "A-B", env = "DUNNAGE_GID_RANGE")]
    gid_range: Option<GroupRanges>,
    /// Largest spec that is read: bytes, or with K, M or G
    #[arg(long, global = true, value_name = "SIZE", env = "DUNNAGE_MAX_SPEC_SIZE", default_value = "16M", value_parser = super::parse::size)]
    max_spec_size: u64,
    /// Sync to disk, so that changes survive a power loss
    #[arg(long, global = true, env = "DUNNAGE_DURABLE", value_parser = FalseyValueParser::new())]
    durable: bool,
    /// Do not confine this process to the directories it needs
    #[arg(long, global = true, env = "DUNNAGE_NO_CONFINE", value_parser = FalseyValueParser::new())]
    pub(super) no_confine: bool,
    /// Settings file: TOML with the names of these options, and the guards [default: /etc/dunnage/dunnage.toml]
    #[arg(long, global = true, value_name = "FILE", env = "DUNNAGE_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// What the settings file says of guards
    #[arg(skip)]
    pub(super) settings: Settings,
    /// Log more to standard error; can be given up to three times
    #[arg(short, long, global = true, action = ArgAction::Count, env = "DUNNAGE_VERBOSE")]
    pub(super) verbose: u8,
}

impl Global {
    pub(super) fn id(&self, id: &str) -> BundleId {
        BundleId::new(&self.namespace, id)
    }

    /// These options as the arguments of another process that may run elsewhere, except how results
    /// are printed and what is logged.
    pub(super) fn arguments(&self) -> std::io::Result<Vec<OsString>> {
        let mut arguments = Vec::new();
        let mut add = |flag: &str, value: &OsStr| {
            let mut argument = OsString::from(flag);
            argument.push("=");
            argument.push(value);
            arguments.push(argument);
        };
        for (flag, path) in [("--state", &self.state), ("--root", &self.root), ("--socket-root", &self.socket_root)] {
            add(flag, std::path::absolute(path)?.as_os_str());
        }
        add("--namespace", self.namespace.as_ref());
        add("--address", self.address.as_ref());
        if let Some(file) = &self.settings.file {
            add("--config", std::path::absolute(file)?.as_os_str());
        }
        if let Some(policy) = &self.policy {
            add("--policy", std::path::absolute(policy)?.as_os_str());
        }
        if let Some(digest) = &self.policy_digest {
            add("--policy-digest", digest.as_ref());
        }
        if let Some(groups) = &self.gid_range {
            add("--gid-range", groups.to_string().as_ref());
        }
        add("--max-spec-size", self.max_spec_size.to_string().as_ref());
        arguments.extend(self.durable.then(|| OsString::from("--durable")));
        arguments.extend(self.no_confine.then(|| OsString::from("--no-confine")));
        Ok(arguments)
    }

    /// Where everything lies.
    pub(super) fn setup(&self) -> Builder {
        Dunnage::builder()
            .state(&self.state)
            .root(&self.root)
            .socket_root(&self.socket_root)
            .daemon_address(&self.address)
            .durable(self.durable)
            .groups(self.gid_range.clone().unwrap_or_default())
    }

    /// The bundle manager of a command that makes a few calls, one after the other.
    pub(super) fn dunnage(&self) -> anyhow::Result<Dunnage> {
        self.dunnage_beside(None)
    }

    /// The same, with a broker that does what this process cannot.
    pub(super) fn dunnage_beside(&self, broker: Option<&Broker>) -> anyhow::Result<Dunnage> {
        self.build(self.setup().pool(false), broker, 1)
    }

    /// The bundle manager of a command that makes many calls, a number of them at the same time.
    pub(super) fn dunnage_for_many(&self, broker: Option<&Broker>, jobs: u32) -> anyhow::Result<Dunnage> {
        self.build(self.setup(), broker, jobs)
    }

    /// The same with other guards than those of the settings file.
    pub(super) fn dunnage_with_guards(&self, guards: Vec<GuardConfig>) -> anyhow::Result<Dunnage> {
        self.build_with(self.setup().pool(false), None, 1, guards)
    }

    /// A bundle manager to ask guards with, those of the settings file or the built-in one, many times.
    pub(super) fn dunnage_to_ask(&self, jobs: u32) -> anyhow::Result<Dunnage> {
        let mut guards = self.settings.guards.clone();
        if guards.is_empty() {
            guards.push(GuardConfig::shipped());
        }
        self.build_with(self.setup(), None, jobs, guards)
    }

    fn build(&self, builder: Builder, broker: Option<&Broker>, jobs: u32) -> anyhow::Result<Dunnage> {
        self.build_with(builder, broker, jobs, self.settings.guards.clone())
    }

    fn build_with(
        &self,
        mut builder: Builder,
        broker: Option<&Broker>,
        jobs: u32,
        guards: Vec<GuardConfig>,
    ) -> anyhow::Result<Dunnage> {
        let mut limits = self.limits();
        limits.concurrent_calls = jobs;
        builder = builder.limits(limits).guards(guards).guard_limits(self.guard_limits(jobs));
        if let Some(policy) = self.policy_source()? {
            builder = builder.policy(policy);
        }
        if let Some(broker) = broker {
            builder = builder.broker(broker);
        }
        let dunnage = builder.build()?;
        if broker.is_none() {
            // It ends with this process: taking the engine and its pool apart would only take time,
            // some 0.2 ms. (A broker is waited for.)
            std::mem::forget(dunnage.clone());
        }
        self.check_digest(&dunnage)?;
        Ok(dunnage)
    }

    /// The limits of the policy. A larger spec needs more of what it is handed over and read in.
    fn limits(&self) -> dunnage::Limits {
        let mut limits = dunnage::Limits::default();
        let more = self.max_spec_size.saturating_sub(limits.spec_size);
        limits.spec_size = self.max_spec_size;
        limits.host_call_bytes = limits.host_call_bytes.saturating_add(more.saturating_mul(4));
        limits.memory = limits.memory.saturating_add(usize::try_from(more.saturating_mul(4)).unwrap_or(usize::MAX));
        limits
    }

    /// The limits of guards.
    fn guard_limits(&self, jobs: u32) -> dunnage::Limits {
        let mut limits = self.settings.guard_limits.clone();
        limits.spec_size = self.max_spec_size;
        limits.concurrent_calls = jobs;
        limits
    }

    /// Opens a spec, or takes standard input if it is called `-`.
    pub(super) fn open_spec(&self, path: &std::path::Path) -> dunnage::Result<Input> {
        let source = if path.as_os_str() == "-" { Source::Standard } else { Source::File(SpecFile::open(path)?) };
        Ok(Input { source, limit: self.max_spec_size })
    }

    /// The digest may be of the built-in policy too: naming one that is not compared would be worse
    /// than naming none.
    pub(super) fn check_digest(&self, dunnage: &Dunnage) -> Result<(), Failed> {
        match &self.policy_digest {
            Some(wanted) if !wanted.eq_ignore_ascii_case(&dunnage.policy().digest) => {
                Err(Failed::wrong_digest(&dunnage.policy().digest, wanted))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn policy_source(&self) -> anyhow::Result<Option<PolicySource>> {
        match (&self.policy, &self.policy_digest) {
            (None, _) => Ok(None),
            (Some(path), Some(digest)) => Ok(Some(PolicySource::File { path: path.clone(), digest: digest.clone() })),
            (Some(_), None) => Err(super::failure::usage("--policy FILE needs --policy-digest sha256:HEX")),
        }
    }
}

/// A spec that is open and not yet read.
pub(super) struct Input {
    source: Source,
    limit: u64,
}

enum Source {
    Standard,
    File(SpecFile),
}

impl Input {
    pub(super) fn read(self) -> dunnage::Result<Spec> {
        match self.source {
            Source::Standard => Spec::read(std::io::stdin().lock(), self.limit, "standard input"),
            Source::File(file) => file.read(self.limit),
        }
    }
}
