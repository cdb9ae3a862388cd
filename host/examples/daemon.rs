//! A daemon's loop: recover what a crash has left, then create, list and delete bundles.
//!
//! `cargo run -p dunnage --example daemon -- DIRECTORY SPEC`

use std::path::PathBuf;

use dunnage::{BundleId, Dunnage, ErrorKind, RecoverOptions, Scope, Spec};

/// The largest spec that this daemon accepts, in bytes.
const MAX_SPEC: u64 = 1 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), Some(spec)) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        return Err("usage: daemon DIRECTORY SPEC".into());
    };

    // One for the whole process: it is cheap to clone, and calls may run at the same time.
    let dunnage = Dunnage::builder().state(directory.join("state")).root(directory.join("root")).build()?;
    let recovery = dunnage.recover(&RecoverOptions::default())?;
    println!("recovered {} leftovers", recovery.findings.len());

    let spec = Spec::read_file(spec, MAX_SPEC)?;
    let ids = ["web-1", "web-2", "web-3"].map(|id| BundleId::new("example", id));
    std::thread::scope(|scope| {
        let threads = ids.each_ref().map(|id| scope.spawn(|| dunnage.create(id, &spec)));
        for (id, thread) in ids.iter().zip(threads) {
            match thread.join().map_err(|_| "a thread panicked")? {
                Ok(created) => {
                    println!("created {} for group {}", created.bundle.path().display(), created.remapped_gid)
                }
                // What an earlier run has left: the daemon takes it over.
                Err(error) if error.kind() == ErrorKind::Exists => println!("{id} already exists"),
                Err(error) => return Err(error.into()),
            }
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;

    println!("{} bundles", dunnage.list(Scope::Namespace("example"))?.len());
    for id in &ids {
        println!("deleted {id}: {}", dunnage.delete(id, false)?.deleted);
    }
    Ok(())
}
