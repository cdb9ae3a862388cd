//! Generates the modules of this crate from `proto/`, without `protoc`.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let names = ["shim", "types", "task", "runc", "events"];
    ttrpc_codegen::Codegen::new()
        .out_dir(&out)
        .include("proto")
        .inputs(names.map(|name| format!("proto/{name}.proto")))
        .rust_protobuf()
        .customize(ttrpc_codegen::Customize { async_all: true, ..Default::default() })
        .rust_protobuf_customize(ttrpc_codegen::ProtobufCustomize::default())
        .run()?;
    // The generated code has inner attributes, which `include!` does not accept, so it is included
    // by path.
    let mut modules = String::new();
    for module in names.into_iter().chain(["shim_ttrpc"]) {
        modules.push_str(&format!("#[path = {:?}]\npub mod {module};\n", out.join(format!("{module}.rs"))));
    }
    std::fs::write(out.join("modules.rs"), modules)?;
    Ok(())
}
