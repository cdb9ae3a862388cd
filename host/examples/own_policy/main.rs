//! A policy of one's own: builds the component in `policy/`, pins it by its digest, and lets it decide.
//!
//! `cargo run -p dunnage --features policy-file --example own_policy -- DIRECTORY SPEC`

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use dunnage_policy_artifact::component;

use dunnage::{BundleId, Dunnage, ErrorKind, PolicySource, Spec};
use sha2::{Digest as _, Sha256};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), Some(spec)) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        return Err("usage: own_policy DIRECTORY SPEC".into());
    };

    // As `cargo rustc --target wasm32-wasip2 --crate-type cdylib` would. A real daemon gets the file from
    // its packages, and the digest from its configuration.
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace")?;
    std::fs::create_dir_all(&directory)?;
    let component = component::build(workspace, "dunnage-example-policy", component::POLICY_MEMORY, &directory)?;
    let mut digest = "sha256:".to_owned();
    for byte in Sha256::digest(std::fs::read(&component)?) {
        write!(digest, "{byte:02x}")?;
    }

    let dunnage = Dunnage::builder()
        .state(directory.join("state"))
        .root(directory.join("root"))
        .policy(PolicySource::File { path: component, digest })
        .build()?;
    println!("{}", dunnage.policy().digest);

    let spec = Spec::read_file(spec, 1 << 20)?;
    let refused = dunnage.create(&BundleId::new("example", "web-1"), &spec).err().ok_or("web-1 was accepted")?;
    println!("{refused}");
    if refused.kind() != ErrorKind::InvalidIdentifier {
        return Err(refused.into());
    }

    let id = BundleId::new("example", "blue-web-1");
    let created = dunnage.create(&id, &spec)?;
    println!("created {} for group {}", created.bundle.path().display(), created.remapped_gid);
    println!("its shim listens at {}", dunnage.shim_address(&id)?);
    println!("deleted: {}", dunnage.delete(&id, false)?.deleted);
    Ok(())
}
