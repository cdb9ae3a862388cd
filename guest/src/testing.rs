//! A directory for tests: it records what is asked of it, and fails at the step it is told to.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::directory::Directory;

/// A call on the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    SetGroup(u32),
    SetMode(u32),
    CreateDirectory(String, u32),
    WriteSpec(String, u32, Option<u32>),
    ReadFile(String),
}

/// What the recording directory fails with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) &'static str);

/// The directory. Files that it was not given are missing.
#[derive(Default)]
pub(crate) struct Recording {
    operations: RefCell<Vec<Operation>>,
    fails_at: Option<usize>,
    files: Vec<(&'static str, Result<Vec<u8>, Broken>)>,
}

impl Recording {
    /// Fails at the operation of this number, counted from 0.
    pub(crate) fn failing_at(step: usize) -> Self {
        Self { fails_at: Some(step), ..Self::default() }
    }

    pub(crate) fn with_file(mut self, name: &'static str, content: impl AsRef<[u8]>) -> Self {
        self.files.push((name, Ok(content.as_ref().to_vec())));
        self
    }

    pub(crate) fn with_unreadable(mut self, name: &'static str, why: &'static str) -> Self {
        self.files.push((name, Err(Broken(why))));
        self
    }

    /// The calls so far, including those that failed.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        self.operations.borrow().clone()
    }

    fn record(&self, operation: Operation) -> Result<(), Broken> {
        let mut operations = self.operations.borrow_mut();
        operations.push(operation);
        if self.fails_at == Some(operations.len() - 1) { Err(Broken("told to fail")) } else { Ok(()) }
    }
}

impl Directory for Recording {
    type Error = Broken;

    fn set_group(&self, group: u32) -> Result<(), Broken> {
        self.record(Operation::SetGroup(group))
    }

    fn set_mode(&self, mode: u32) -> Result<(), Broken> {
        self.record(Operation::SetMode(mode))
    }

    fn create_directory_at(&self, name: &str, mode: u32) -> Result<(), Broken> {
        self.record(Operation::CreateDirectory(name.into(), mode))
    }

    fn write_spec_at(&self, name: &str, mode: u32, group: Option<u32>) -> Result<(), Broken> {
        self.record(Operation::WriteSpec(name.into(), mode, group))
    }

    fn read_file_at(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Broken> {
        self.record(Operation::ReadFile(name.into()))?;
        let Some((_, content)) = self.files.iter().find(|(file, _)| *file == name) else { return Ok(None) };
        let content = content.clone()?;
        if content.len() as u64 > limit { Err(Broken("too large")) } else { Ok(Some(content)) }
    }
}
