//! What a guard is asked about.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::OnceCell;

use serde::Deserialize;

use crate::{Denial, oci};

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A container is made.
    Create,
    /// A further process is started in a container.
    Exec,
    /// The limits of a container are changed.
    Update,
    /// A container is made from a checkpoint.
    Restore,
}

/// Which container it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerId {
    /// The engine's namespace, or empty.
    pub namespace: String,
    /// The id in that namespace.
    pub id: String,
}

/// What is about to be done, and to what.
#[derive(Debug)]
pub struct Request {
    /// What is about to be done.
    pub operation: Operation,
    /// The OCI spec, the process or the resources.
    pub subject: Document,
    /// The container's spec for an exec or an update, where it is known.
    pub container_spec: Option<Document>,
    /// The container.
    pub container: ContainerId,
    /// The id of the further process, where it has one.
    pub exec_id: Option<String>,
    /// What starts containers here, where it is known.
    pub engine: Option<String>,
    /// What the engine says of the bundle beside its spec.
    pub annotations: Vec<(String, String)>,
}

impl Request {
    /// The OCI spec of a container that is made, or of the one that an exec or an update is about.
    ///
    /// # Errors
    ///
    /// If it is not known, or cannot be read for certain.
    pub fn spec(&self) -> Result<oci::Spec<'_>, Denial> {
        match (self.operation, &self.container_spec) {
            (Operation::Create | Operation::Restore, _) => self.subject.read(),
            (_, Some(spec)) => spec.read(),
            (_, None) => Err(Denial::new("unreadable", "the spec of the container is not known")),
        }
    }

    /// The process that is started, if one is: that of an exec, or the container's own.
    ///
    /// # Errors
    ///
    /// If it cannot be read for certain.
    pub fn process(&self) -> Result<Option<oci::Process<'_>>, Denial> {
        match self.operation {
            Operation::Create | Operation::Restore => Ok(self.spec()?.process),
            Operation::Exec => self.subject.read().map(Some),
            Operation::Update => Ok(None),
        }
    }

    /// The limits: those of an update, or the container's own.
    ///
    /// # Errors
    ///
    /// If they cannot be read for certain.
    pub fn resources(&self) -> Result<oci::Resources<'_>, Denial> {
        match self.operation {
            Operation::Update => self.subject.read(),
            Operation::Create | Operation::Exec | Operation::Restore => Ok(self.spec()?.linux.resources),
        }
    }
}

/// A JSON document. Its bytes are asked for when it is read first.
#[derive(Debug)]
pub struct Document {
    source: Source,
    text: OnceCell<Result<String, dunnage_go_json::Error>>,
}

#[derive(Debug)]
enum Source {
    #[cfg(target_family = "wasm")]
    Host(crate::bindings::dunnage::guard::types::Document),
    Given(Vec<u8>),
}

impl Document {
    /// A document of these bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { source: Source::Given(bytes.into()), text: OnceCell::new() }
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn of_host(document: crate::bindings::dunnage::guard::types::Document) -> Self {
        Self { source: Source::Host(document), text: OnceCell::new() }
    }

    /// All its bytes.
    #[must_use]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match &self.source {
            #[cfg(target_family = "wasm")]
            Source::Host(document) => document.read(0, u64::MAX).into(),
            Source::Given(bytes) => bytes.into(),
        }
    }

    /// Its text, which need not be JSON yet.
    ///
    /// # Errors
    ///
    /// If it is not text that all readers agree on.
    pub fn text(&self) -> Result<&str, Denial> {
        let text = self.text.get_or_init(|| {
            let bytes = self.bytes();
            if let Cow::Owned(changed) = dunnage_go_json::check(&bytes)? {
                return Ok(changed);
            }
            // It was just seen to be UTF-8.
            Ok(String::from_utf8(bytes.into_owned()).unwrap_or_default())
        });
        text.as_deref().map_err(|error| error.clone().into())
    }

    /// Reads it into a type, such as those of [`oci`].
    ///
    /// # Errors
    ///
    /// If it cannot be read for certain.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Denial> {
        Ok(dunnage_go_json::read(self.text()?)?)
    }
}
