//! Policies that break the rules from below: one component for each attack, assembled from text.

mod answers;
mod component;
mod exhaustion;
mod files;
mod handles;
mod lies;
mod names;
mod run;
mod traps;

use dunnage::{ErrorKind, Step};

/// A call of the host that reaches one export of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Check,
    Gid,
    Settings,
    Create,
    Delete,
    Address,
    Legacy,
    Records,
    Connect,
    Config,
}

/// The exports, by their names in the contract.
const EXPORTS: [(&str, Call); 10] = [
    ("check-identifiers", Call::Check),
    ("remapped-gid", Call::Gid),
    ("task-settings", Call::Settings),
    ("create", Call::Create),
    ("delete", Call::Delete),
    ("address", Call::Address),
    ("legacy-address", Call::Legacy),
    ("records", Call::Records),
    ("connect-address", Call::Connect),
    ("config", Call::Config),
];

/// What becomes of an attack.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The call fails with this kind, at this step.
    Stopped(ErrorKind, Step),
    /// The call succeeds, and a warning names what was not done.
    Warned,
    /// The call succeeds, and the lie had no effect.
    Ignored,
}

/// One hostile policy: what it does instead of an export, and how it is stopped.
#[derive(Clone, Debug)]
struct Attack {
    name: String,
    call: Call,
    /// Instructions of exports, which return an answer or run on into the honest policy.
    bodies: Vec<(Call, String)>,
    /// Instructions of `cabi_realloc`.
    realloc: String,
    /// Further fields of the module.
    fields: String,
    /// The bytes that `$text` names.
    data: Vec<u8>,
    /// Whether it is given little time.
    hasty: bool,
    fate: Fate,
    /// What the message must say.
    says: String,
}

impl Attack {
    fn new(name: impl Into<String>, call: Call, body: impl Into<String>, kind: ErrorKind, says: &str) -> Self {
        Self {
            name: name.into(),
            call,
            bodies: vec![(call, body.into())],
            realloc: String::new(),
            fields: String::new(),
            data: Vec::new(),
            hasty: false,
            fate: Fate::Stopped(kind, Step::Decide),
            says: says.to_owned(),
        }
    }

    /// An attack on `create`, after which the policy goes on as an honest one would.
    fn create(name: impl Into<String>, body: impl Into<String>, kind: ErrorKind, says: &str) -> Self {
        Self::new(name, Call::Create, format!("(call $reached) {}", body.into()), kind, says)
    }

    /// An attack on `create` that is found when what was made is looked at. It answers group 0.
    fn made(name: impl Into<String>, body: impl Into<String>, says: &str) -> Self {
        let body =
            format!("{} (call $release (local.get $bundle) (local.get $spec)) (return (i32.const 256))", body.into());
        Self {
            fate: Fate::Stopped(ErrorKind::PolicyBroken, Step::Verify),
            ..Self::create(name, body, ErrorKind::PolicyBroken, says)
        }
    }

    fn data(self, data: impl Into<Vec<u8>>) -> Self {
        Self { data: data.into(), ..self }
    }

    fn realloc(self, code: impl Into<String>) -> Self {
        Self { realloc: code.into(), ..self }
    }

    fn fields(self, fields: impl Into<String>) -> Self {
        Self { fields: fields.into(), ..self }
    }

    fn hasty(self) -> Self {
        Self { hasty: true, ..self }
    }
}
