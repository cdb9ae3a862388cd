//! The functions that a policy exports.

use wasmtime::component::{Component, ComponentExportIndex};

use super::{EXPORTS, TASKS};

/// Where they are in the component, found by name once. A call checks the type of the one function
/// that it is about; what bindgen generates would check all those of the interface every time.
pub(super) struct Exports {
    pub(super) bundles: Bundles,
    pub(super) shims: Shims,
    /// `None` for a policy of the world `policy`.
    pub(super) tasks: Option<Tasks>,
}

/// Lists the functions of an interface, by the names of their fields.
macro_rules! interface {
    ($(#[$doc:meta])* $interface:ident { $($function:ident),* }) => {
        $(#[$doc])*
        pub(super) struct $interface {
            $(pub(super) $function: ComponentExportIndex,)*
        }

        impl $interface {
            fn find(component: &Component, name: &str) -> Result<Self, String> {
                let instance = component.get_export_index(None, name);
                let find = |function: &str| {
                    let index = component.get_export_index(instance.as_ref(), function);
                    index.ok_or_else(|| format!("it does not export {name}#{function}"))
                };
                Ok(Self { $($function: find(&stringify!($function).replace('_', "-"))?,)* })
            }
        }
    };
}

interface! {
    /// The functions of the interface `bundles`.
    Bundles { check_identifiers, remapped_gid, task_settings, create, delete }
}

interface! {
    /// The functions of the interface `shims`.
    Shims { address, legacy_address, records, connect_address, config }
}

interface! {
    /// The functions of the interface `tasks`.
    Tasks { process_parts_of }
}

impl Exports {
    /// Finds them all, or names one that is missing.
    pub(super) fn find(component: &Component) -> Result<Self, String> {
        let [bundles, shims] = EXPORTS;
        let tasks = component.get_export_index(None, TASKS).map(|_| Tasks::find(component, TASKS)).transpose()?;
        Ok(Self { bundles: Bundles::find(component, bundles)?, shims: Shims::find(component, shims)?, tasks })
    }
}
