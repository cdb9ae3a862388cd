// Included by `engine.rs` and by `build.rs`: the compiler and the runtime must agree on these, or
// the shipped policy does not load.

/// The settings that shape the code of a policy.
fn shared_settings() -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        // A policy needs none of these; what is off cannot be attacked.
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        // 4 GiB of address space for each instance, so that the code needs no bounds checks.
        .memory_reservation(1 << 32)
        .memory_guard_size(32 << 20)
        .memory_init_cow(true)
        // Only debuggers and stack traces need it: a trap does not unwind the policy.
        .native_unwind_info(false)
        .generate_address_map(false);
    config
}
