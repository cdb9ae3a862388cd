//! wasmtime as this crate uses it: its settings, and the limits of every call.

mod budget;
mod watchdog;

use std::sync::Arc;

use dunnage_core::{Error, ErrorKind, FairSemaphore, Limits, Result, Step};
use wasmtime::{CustomCodeMemory, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

pub(crate) use self::budget::{Budget, GuestFault};
use self::watchdog::{TICK, Watchdog};

include!("engine/settings.rs");

/// Core instances, memories and tables of one component instance. A component that was made with
/// `wit-component` has three core modules, of which one has a memory and two have tables.
const CORE_INSTANCES: u32 = 8;
const MEMORIES: u32 = 1;
const TABLES: u32 = 4;

/// An engine for instances of components, with the clock that ends calls.
pub(crate) struct Sandbox {
    engine: Engine,
    watchdog: Watchdog,
    /// One permit for each instance of the pool.
    instance_permits: FairSemaphore,
    deadline: u64,
    answer_bytes: usize,
}

impl Sandbox {
    /// An engine whose instances come from a pool.
    pub(crate) fn pooled(limits: &Limits) -> Result<Self> {
        Self::new(limits, pool(limits, Clear::Touched), None)
    }

    /// Code is made executable by `code_memory`, or else by wasmtime.
    pub(crate) fn new(
        limits: &Limits,
        instances: InstanceAllocationStrategy,
        code_memory: Option<Arc<dyn CustomCodeMemory>>,
    ) -> Result<Self> {
        let fail = |what: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Unsupported, Step::LoadPolicy, format!("cannot set up the engine: {what}"))
        };
        let calls = limits.concurrent_calls;
        if calls == 0 {
            let message = "the limit on concurrent calls is 0";
            return Err(Error::new(ErrorKind::InvalidConfig, Step::LoadPolicy, message));
        }
        let mut config = shared_settings();
        // Frames have names that the policy chose, and errors go to people's terminals and logs.
        config.wasm_backtrace_max_frames(None);
        config.with_custom_code_memory(code_memory);
        config.allocation_strategy(instances);
        let engine = Engine::new(&config).map_err(|error| fail(&format!("{error:#}")))?;
        let answer_bytes = usize::try_from(limits.host_call_bytes).unwrap_or(usize::MAX);
        let watchdog = Watchdog::start(&engine).map_err(|error| fail(&error))?;
        // One tick more, since the first one may come at once.
        let deadline = u64::try_from(limits.time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX / 2);
        Ok(Self {
            engine,
            watchdog,
            instance_permits: FairSemaphore::new(calls),
            deadline: deadline.saturating_add(1),
            answer_bytes,
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Runs a call in a store of its own, under all limits.
    pub(crate) fn run<C: AsMut<Budget> + 'static, T>(
        &self,
        context: C,
        call: impl FnOnce(&mut Store<C>) -> wasmtime::Result<T>,
    ) -> (wasmtime::Result<T>, C) {
        let _permit = self.instance_permits.take();
        let _running = self.watchdog.watch();
        let mut store = Store::new(&self.engine, context);
        store.limiter(|context| context.as_mut());
        store.set_epoch_deadline(self.deadline);
        // Names and answers from the guest are copied before the host can check them.
        store.set_hostcall_fuel(self.answer_bytes);
        let result = call(&mut store);
        (result, store.into_data())
    }
}

/// Which part of an instance's memory is cleared after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clear {
    /// All of it: quicker than asking the kernel for a memory of one page, which only large specs
    /// grow.
    All,
    /// The pages that were touched. Since Linux 6.7 the kernel can list them, in 2 us.
    Touched,
}

/// Instances from a pool, each within the limits.
pub(crate) fn pool(limits: &Limits, clear: Clear) -> InstanceAllocationStrategy {
    let calls = limits.concurrent_calls;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_core_instances(calls.saturating_mul(CORE_INSTANCES))
        .total_memories(calls.saturating_mul(MEMORIES))
        .total_tables(calls.saturating_mul(TABLES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memory_size(limits.memory)
        .table_elements(limits.table_elements)
        // Memory is cleared by hand up to here: cheaper than giving the pages back to the kernel and
        // faulting them in again.
        .linear_memory_keep_resident(4 << 20)
        .table_keep_resident(16 << 10)
        .pagemap_scan(if clear == Clear::All { Enabled::No } else { Enabled::Auto })
        .max_unused_warm_slots(calls);
    InstanceAllocationStrategy::Pooling(pool)
}
