//! The host's side of the contract in `wit/guard/`.

wasmtime::component::bindgen!({
    path: "../../wit/guard",
    world: "guard",
    imports: { default: trappable },
    with: {
        "dunnage:guard/types.document": dunnage_core::Spec,
    },
});
