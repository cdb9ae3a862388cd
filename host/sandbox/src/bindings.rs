//! The host's side of the contract in `wit/`.

wasmtime::component::bindgen!({
    path: "wit",
    world: "policy-with-tasks",
    imports: { default: trappable },
    additional_derives: [PartialEq],
    trappable_error_type: {
        "dunnage:bundle/filesystem.error-code" => crate::filesystem::CallError,
    },
    with: {
        "dunnage:bundle/filesystem.directory": crate::filesystem::DirectoryResource,
        "dunnage:bundle/filesystem.spec": dunnage_core::Spec,
    },
});
