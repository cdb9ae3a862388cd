//! The interface `filesystem`: look the handle up, check the name, one call into `sys`.

mod context;
mod lazy_dir;

use std::sync::Arc;

use dunnage_core::{DIRECTORY_MODE, FILE_MODE, Spec};
use dunnage_sys::{Crossing, Directory, Failure};
use rustix::io::Errno;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};

pub(crate) use self::context::{CallError, Context};
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub use self::lazy_dir::DirectoryResource;
pub use self::lazy_dir::{Access, LazyDir};
use crate::bindings::dunnage::bundle::filesystem::{ErrorCode, Host, HostDirectory, HostSpec};
use crate::engine::GuestFault;

/// The name of the interface.
pub(crate) const INTERFACE: &str = "dunnage:bundle/filesystem@0.1.0";

type CallResult<T> = Result<T, CallError>;

impl Host for Context {
    /// The guest gets only the code; the rest is kept for the error message.
    fn convert_error_code(&mut self, error: CallError) -> wasmtime::Result<ErrorCode> {
        match error {
            CallError::Failed(failure) => {
                let code = failure.errno().into();
                self.last_failure = Some(failure);
                Ok(code)
            }
            CallError::Stopped(error) => Err(error),
        }
    }
}

impl HostSpec for Context {
    fn size(&mut self, spec: Resource<Spec>) -> wasmtime::Result<u64> {
        self.budget.count_step()?;
        Ok(self.budget.get(&spec)?.as_bytes().len() as u64)
    }

    fn bytes(&mut self, spec: Resource<Spec>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.bytes_of(&spec)?.to_vec())
    }

    fn drop(&mut self, spec: Resource<Spec>) -> wasmtime::Result<()> {
        self.budget.count_step()?;
        self.budget.forget(spec)
    }
}

impl HostDirectory for Context {
    fn set_group(&mut self, directory: Resource<DirectoryResource>, group: u32) -> CallResult<()> {
        let directory = self.writable(&directory)?;
        self.check_group(group)?;
        Ok(directory.set_group(group)?)
    }

    fn set_mode(&mut self, handle: Resource<DirectoryResource>, mode: u32) -> CallResult<()> {
        let directory = self.writable(&handle)?;
        check_mode(mode, DIRECTORY_MODE)?;
        directory.set_mode(mode)?;
        if self.is_lent(&handle)? {
            self.made.mode = mode;
        }
        Ok(())
    }

    fn create_directory_at(
        &mut self,
        directory: Resource<DirectoryResource>,
        name: String,
        mode: u32,
    ) -> CallResult<()> {
        let directory = self.writable(&directory)?;
        let name = self.name(&name)?;
        check_mode(mode, DIRECTORY_MODE)?;
        directory.create_subdirectory(&name, mode)?;
        self.made.entries += 1;
        Ok(())
    }

    fn open_directory_at(
        &mut self,
        directory: Resource<DirectoryResource>,
        name: String,
    ) -> CallResult<Resource<DirectoryResource>> {
        let directory = self.directory(&directory)?;
        let name = self.name(&name)?;
        let opened = directory.open_directory(&name, Crossing::Refused)?;
        self.keep_directory(opened)
    }

    fn write_spec_at(
        &mut self,
        directory: Resource<DirectoryResource>,
        name: String,
        spec: Resource<Spec>,
        mode: u32,
        group: Option<u32>,
    ) -> CallResult<()> {
        let directory = self.writable(&directory)?;
        let name = self.name(&name)?;
        check_mode(mode, FILE_MODE)?;
        if let Some(group) = group {
            self.check_group(group)?;
        }
        let spec = self.budget.get(&spec)?.clone();
        self.budget.count_bytes(spec.as_bytes().len() as u64)?;
        directory.create_file(&name, spec.as_bytes(), mode, group, self.durable())?;
        self.made.file = Some((name, mode));
        self.made.entries += 1;
        Ok(())
    }

    fn read_file_at(&mut self, handle: Resource<DirectoryResource>, name: String, limit: u64) -> CallResult<Vec<u8>> {
        let directory = self.directory(&handle)?;
        let name = self.name(&name)?;
        if self.surely_lacks(&handle, &name)? {
            return Err(Failure::new("getdents64", directory.path_of(&name), Errno::NOENT).into());
        }
        let content = directory.read_file(&name, limit.min(self.budget.bytes_left()))?;
        self.budget.count_bytes(content.len() as u64)?;
        Ok(content)
    }

    fn drop(&mut self, directory: Resource<DirectoryResource>) -> wasmtime::Result<()> {
        self.budget.count_step()?;
        self.budget.forget(directory)
    }
}

/// Gives the policy the bytes of a spec without the extra copy that the types of the generated
/// bindings require.
pub(crate) fn lend_bytes(linker: &mut Linker<Context>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker
        .instance(INTERFACE)?
        .func_wrap("[method]spec.bytes", |mut store: StoreContextMut<'_, Context>, (spec,): (Resource<Spec>,)| {
            Ok((store.data_mut().bytes_of(&spec)?,))
        })?;
    linker.allow_shadowing(false);
    Ok(())
}

impl Context {
    fn bytes_of(&mut self, spec: &Resource<Spec>) -> wasmtime::Result<Arc<[u8]>> {
        self.budget.count_step()?;
        let bytes = self.budget.get(spec)?.shared();
        self.budget.count_bytes(bytes.len() as u64)?;
        Ok(bytes)
    }

    /// The directory behind a handle, opened now if the guest has not used it before.
    fn directory(&mut self, handle: &Resource<DirectoryResource>) -> CallResult<Arc<Directory>> {
        self.budget.count_step()?;
        self.look_up(handle)
    }

    fn writable(&mut self, handle: &Resource<DirectoryResource>) -> CallResult<Arc<Directory>> {
        let directory = self.directory(handle)?;
        self.check_writable(&directory)?;
        Ok(directory)
    }
}

/// The host's own check: no set-user-id, set-group-id or sticky bit, nothing wider than a bundle
/// needs.
fn check_mode(mode: u32, most: u32) -> Result<(), GuestFault> {
    if mode & !most == 0 {
        Ok(())
    } else {
        Err(GuestFault::Rule(format!("it asked for mode {mode:04o}, but at most {most:04o} is allowed")))
    }
}
