//! Between the contract in `wit/guard` and the trait [`Guard`].

use alloc::string::{String, ToString};
use core::marker::PhantomData;

use self::bindings::dunnage::guard::types as wit;
use crate::{ContainerId, Denial, Document, Guard, Operation, Request, settings};

/// What is generated from the contract.
#[expect(missing_docs, reason = "generated code has none")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/guard",
        world: "guard",
        pub_export_macro: true,
        default_bindings_module: "$crate::bindings",
        generate_all,
    });
}

/// A guard as a component exports it.
#[derive(Debug)]
pub struct Exported<G>(PhantomData<G>);

impl<G: Guard> bindings::Guest for Exported<G> {
    fn describe() -> wit::Metadata {
        wit::Metadata {
            name: G::NAME.to_string(),
            version: G::VERSION.to_string(),
            reads: G::READS.iter().map(ToString::to_string).collect(),
            operations: G::OPERATIONS.iter().copied().map(Into::into).collect(),
        }
    }

    fn validate_settings(text: String) -> Result<(), String> {
        settings::<G>(&text).map(drop)
    }

    fn review(request: wit::Request) -> wit::Verdict {
        let settings = match settings::<G>(&request.settings) {
            Ok(settings) => settings,
            Err(why) => return wit::Verdict::Deny(Denial::new("settings", why).into()),
        };
        match G::review(&request.into(), &settings) {
            Ok(warnings) => wit::Verdict::Allow(warnings),
            Err(denial) => wit::Verdict::Deny(denial.into()),
        }
    }
}

impl From<wit::Request> for Request {
    fn from(request: wit::Request) -> Self {
        Self {
            operation: request.operation.into(),
            subject: Document::of_host(request.subject),
            container_spec: request.spec.map(Document::of_host),
            container: ContainerId { namespace: request.container.namespace, id: request.container.id },
            exec_id: request.exec_id,
            engine: request.engine,
            annotations: request.annotations.into_iter().map(|entry| (entry.key, entry.value)).collect(),
        }
    }
}

impl From<Denial> for wit::Denial {
    fn from(denial: Denial) -> Self {
        Self { rule: denial.rule, reason: denial.reason, pointer: denial.pointer }
    }
}

impl From<wit::Operation> for Operation {
    fn from(operation: wit::Operation) -> Self {
        match operation {
            wit::Operation::Create => Self::Create,
            wit::Operation::Exec => Self::Exec,
            wit::Operation::Update => Self::Update,
            wit::Operation::Restore => Self::Restore,
        }
    }
}

impl From<Operation> for wit::Operation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Create => Self::Create,
            Operation::Exec => Self::Exec,
            Operation::Update => Self::Update,
            Operation::Restore => Self::Restore,
        }
    }
}
