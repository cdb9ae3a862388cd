//! The container of a bundle as the runtime (runc) knows it, asked without a shim, which may have
//! died.

use std::fs::File;
use std::io::{self, Read as _};
use std::thread;

use dunnage_broker::{Action, Privileged, runtime_of};
use dunnage_core::{BundleId, Error, ErrorKind, Result, Step};
use dunnage_oci_runtime::{ContainerState, Runc};
use dunnage_store::ShimRecord;
use dunnage_sys::{Directory, path_identity};
use rustix::pipe::{PipeFlags, pipe_with};

/// The most that is read of what the runtime prints, in bytes: several times the largest spec.
const MAX_OUTPUT: u64 = 64 << 20;

/// How often a runtime is asked again that fails though its state is there.
const STATE_ATTEMPTS: usize = 2;

/// A container as its runtime knows it.
pub struct Container {
    privileged: Privileged,
    runtime: Runc,
    id: String,
    /// Whether a shim was started that uses the runtime.
    is_ours: bool,
}

impl Container {
    /// The container of a bundle, by what is on record about its shim.
    #[must_use]
    pub fn of(privileged: &Privileged, id: &BundleId, record: Option<&ShimRecord>) -> Self {
        let runtime = runtime_of(id, record);
        Self { privileged: privileged.clone(), runtime, id: id.id().to_owned(), is_ours: record.is_some() }
    }

    /// Whether the runtime keeps anything under the container's id, of whichever bundle.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.runtime.knows(&self.id)
    }

    /// What the runtime knows of the container; `None` if nothing, or of another bundle's container
    /// that has the same id.
    ///
    /// # Errors
    ///
    /// If the runtime fails.
    pub fn state(&self, bundle: &Directory) -> Result<Option<ContainerState>> {
        if !self.is_known() {
            return Ok(None);
        }
        let mut attempts = 0..STATE_ATTEMPTS;
        let answer = loop {
            match self.run(Action::State, bundle) {
                Ok(answer) => break answer,
                // It may have been written just after it was missed.
                Err(error) if self.runtime.has_state(&self.id) => {
                    attempts.next().ok_or(error)?;
                }
                // It has gone meanwhile, or the runtime was killed before it wrote its state: then there is
                // only a directory, which is ours if we have started a shim.
                Err(_) if self.is_ours && self.is_known() => return Ok(Some(ContainerState::creating(bundle.path()))),
                Err(_) => return Ok(None),
            }
        };
        let state: ContainerState = serde_json::from_slice(&answer)
            .map_err(|error| self.error(format!("its answer cannot be read: {error}")))?;
        let ours = state.bundle == bundle.path() || path_identity(&state.bundle) == bundle.identity();
        Ok(Some(state).filter(|_| ours))
    }

    /// Kills the container and has the runtime forget it.
    ///
    /// # Errors
    ///
    /// If the runtime fails.
    pub fn delete(&self, bundle: &Directory) -> Result<()> {
        self.run(Action::Delete, bundle).map(drop)
    }

    fn run(&self, action: Action, bundle: &Directory) -> Result<Vec<u8>> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| self.error(format!("cannot make a pipe: {errno}")));
        let ((answer, stdout), (complaint, stderr)) = (pipe()?, pipe()?);
        // Read from the start: the state holds all annotations of the spec, more than a pipe does.
        // `thread::spawn` panics if the system cannot start a thread.
        let reader = |end| thread::Builder::new().spawn(move || read_some(File::from(end)));
        let cannot_read = |error| self.error(format!("cannot read its answer: {error}"));
        let (answer, complaint) = (reader(answer).map_err(cannot_read)?, reader(complaint).map_err(cannot_read)?);
        let succeeded = self.privileged.run(&self.runtime, &self.id, action, bundle, [stdout, stderr]);
        let [answer, complaint] = [answer, complaint].map(|reader| reader.join().unwrap_or_default());
        match succeeded {
            Ok(true) => Ok(answer),
            Ok(false) => Err(self.error(String::from_utf8_lossy(&complaint).trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err(self.error(error.to_string()).with_kind(ErrorKind::Timeout))
            }
            Err(error) => Err(self.error(error.to_string())),
        }
    }

    fn error(&self, message: String) -> Error {
        let (program, root) = (self.runtime.program().display(), self.runtime.root().display());
        let message = format!("{program} --root {root} failed for container {}: {message}", self.id);
        Error::new(ErrorKind::Shim, Step::EndShim, message)
    }
}

fn read_some(from: impl io::Read) -> Vec<u8> {
    let mut text = Vec::new();
    let _ = from.take(MAX_OUTPUT).read_to_end(&mut text);
    text
}
