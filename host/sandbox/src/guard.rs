//! Guards: components that allow or deny. Loading them, asking them, and taking their answers apart.

mod answers;
mod bindings;
mod context;

use dunnage_core::{Error, ErrorKind, GuardMetadata, Limits, Result, ReviewRequest, Step, Verdict};
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, HasSelf, InstancePre, Lift, Linker, Lower,
};
use wasmtime::{InstanceAllocationStrategy, Store};

use self::bindings::dunnage::guard::types as wit;
use self::context::GuardContext;
use crate::embedded;
use crate::engine::{Clear, GuestFault, Sandbox, pool};

/// The interface that a guard may import.
const TYPES: &str = "dunnage:guard/types@0.1.0";
/// The longest settings, in bytes: they travel with every request.
const MAX_SETTINGS: usize = 256 << 10;

/// Where the code of a guard comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuardCode {
    /// The guard `baseline` that this crate ships.
    Baseline,
}

/// A guard that is ready to be asked, from many threads at once.
pub struct Guard {
    name: String,
    sandbox: Sandbox,
    instance: InstancePre<GuardContext>,
    exports: Exports,
    limits: Limits,
    digest: String,
}

/// Where its functions are in the component.
struct Exports {
    describe: ComponentExportIndex,
    validate_settings: ComponentExportIndex,
    review: ComponentExportIndex,
}

impl Guard {
    /// Loads a guard under a name of the operator's choice. With `is_pooled` its instances come from a
    /// pool, for whoever asks it more than a few times.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::GuardRejected`] if it cannot be used.
    pub fn load(name: &str, code: GuardCode, limits: Limits, is_pooled: bool) -> Result<Self> {
        let GuardCode::Baseline = code;
        let on_demand = InstanceAllocationStrategy::OnDemand;
        let instances = if is_pooled { pool(&limits, Clear::All) } else { on_demand };
        let loaded = embedded::BASELINE.load(&limits, instances);
        let (sandbox, component) = loaded.map_err(|error| rejected(name, error.message()))?;
        let component = component.map_err(|why| rejected(name, why))?;
        Self::link(name, sandbox, &component, limits, embedded::BASELINE.digest)
    }

    fn link(name: &str, sandbox: Sandbox, component: &Component, limits: Limits, digest: &str) -> Result<Self> {
        let unfit = |why: String| rejected(name, format!("it does not fit the world `guard`: {why}"));
        for (import, _) in component.component_type().imports(sandbox.engine()) {
            if import != TYPES {
                return Err(unfit(format!("it imports {import:?}, which guards cannot have")));
            }
        }
        let mut linker = Linker::new(sandbox.engine());
        let instance = bindings::Guard::add_to_linker::<_, HasSelf<GuardContext>>(&mut linker, |context| context)
            .and_then(|()| linker.instantiate_pre(component))
            .map_err(|error| unfit(format!("{error:#}")))?;
        let find = |function: &str| {
            let index = component.get_export_index(None, function);
            index.ok_or_else(|| unfit(format!("it does not export {function}")))
        };
        let exports = Exports {
            describe: find("describe")?,
            validate_settings: find("validate-settings")?,
            review: find("review")?,
        };
        Ok(Self { name: name.to_owned(), sandbox, instance, exports, limits, digest: digest.to_owned() })
    }

    /// Its name here.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The digest of its component, as `sha256:` and 64 hex digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// `describe`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::GuardFailed`] if it fails.
    pub fn describe(&self) -> Result<GuardMetadata> {
        let metadata: wit::Metadata = self.call(Step::LoadGuard, &self.exports.describe, |_| Ok(()))?;
        answers::metadata(metadata).map_err(|how| self.broken(Step::LoadGuard, &how))
    }

    /// `validate-settings`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::GuardRejected`] with what is wrong with them, [`ErrorKind::GuardFailed`] if it fails.
    pub fn check_settings(&self, settings: &str) -> Result<()> {
        if settings.len() > MAX_SETTINGS {
            return Err(rejected(&self.name, format!("its settings are larger than {MAX_SETTINGS} bytes")));
        }
        let checked: Result<(), String> =
            self.call(Step::LoadGuard, &self.exports.validate_settings, |_| Ok((settings,)))?;
        checked.map_err(|why| rejected(&self.name, format!("its settings are wrong: {}", answers::line(&why))))
    }

    /// `review`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::GuardFailed`] if it fails; [`ErrorKind::SpecTooLarge`]. Nothing may be done then.
    pub fn review(&self, request: &ReviewRequest, settings: &str) -> Result<Verdict> {
        for document in std::iter::once(&request.subject).chain(&request.container_spec) {
            document.check_size(self.limits.spec_size)?;
        }
        let verdict: wit::Verdict =
            self.call(Step::Review, &self.exports.review, |context| Ok((context.lend(request, settings)?,)))?;
        answers::verdict(verdict).map_err(|how| self.broken(Step::Review, &how))
    }

    /// Starts a fresh instance in a fresh store and calls one of its functions.
    fn call<P, A>(
        &self,
        step: Step,
        function: &ComponentExportIndex,
        lend: impl FnOnce(&mut GuardContext) -> wasmtime::Result<P>,
    ) -> Result<A>
    where
        P: ComponentNamedList + Lower,
        (A,): ComponentNamedList + Lift,
    {
        let (result, _) = self.sandbox.run(GuardContext::new(&self.limits), |store: &mut Store<GuardContext>| {
            let instance = self.instance.instantiate(&mut *store)?;
            let function = instance.get_typed_func::<P, (A,)>(&mut *store, function)?;
            let parameters = lend(store.data_mut())?;
            function.call(store, parameters)
        });
        result.map(|(answer,)| answer).map_err(|error| self.failed(step, error))
    }

    fn broken(&self, step: Step, how: &str) -> Error {
        Error::new(ErrorKind::GuardFailed, step, format!("the guard {:?} broke a rule: {how}", self.name))
    }

    /// What a call that did not return says about the guard.
    fn failed(&self, step: Step, error: wasmtime::Error) -> Error {
        let why = match error.downcast::<GuestFault>() {
            Ok(GuestFault::Host(error)) => return error,
            Ok(GuestFault::Limit(message)) => format!("exceeded a limit: {message}"),
            Ok(GuestFault::Rule(message)) => format!("broke a rule: {message}"),
            Err(error) => match error.downcast_ref::<wasmtime::Trap>() {
                Some(wasmtime::Trap::Interrupt) => "exceeded a limit: it took too long".to_owned(),
                Some(trap) => format!("trapped: {trap}"),
                None => {
                    // A cause of several lines is a trace of the stack, with names that the component gave.
                    let causes = error.chain().map(ToString::to_string).filter(|cause| !cause.contains('\n'));
                    format!("could not be run: {}", answers::line(&causes.collect::<Vec<_>>().join(": ")))
                }
            },
        };
        Error::new(ErrorKind::GuardFailed, step, format!("the guard {:?} {why}", self.name))
    }
}

fn rejected(name: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::GuardRejected, Step::LoadGuard, format!("the guard {name:?} cannot be used: {why}"))
}

#[cfg(test)]
mod tests;
