//! The library in this process, by criterion: `cargo bench -p dunnage-cli --bench in_process`.
//!
//! For looking at one change: unlike the comparison it keeps what it measured last, and reports
//! whether this time differs. Here nothing is confined, since a library does not do that.

#[path = "comparison/specs.rs"]
mod specs;

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput};
use dunnage::{BundleId, Dunnage, Spec};

fn main() -> anyhow::Result<()> {
    anyhow::ensure!(rustix::process::geteuid().is_root(), "this takes root: the specs remap group 0");
    let memory = Path::new("/dev/shm");
    let scratch = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
    let dunnage = Dunnage::builder().state(scratch.path().join("state")).root(scratch.path().join("root")).build()?;
    let mut criterion = Criterion::default().configure_from_args();
    for sample in specs::samples(scratch.path())? {
        let spec = Spec::read_file(&sample.path, u64::MAX)?;
        let id = BundleId::new("default", "bundle");
        let cycle = || dunnage.create(&id, &spec).and_then(|_| dunnage.delete(&id, false));
        // What is measured must work, and still work afterwards.
        anyhow::ensure!(dunnage.remapped_gid(&spec)? == 100_000 && cycle()?.deleted, "nothing was done");

        let mut decisions = criterion.benchmark_group("decision");
        decisions.throughput(Throughput::Bytes(sample.bytes as u64));
        decisions.bench_function(BenchmarkId::from_parameter(sample.name), |bencher| {
            bencher.iter(|| dunnage.remapped_gid(black_box(&spec)));
        });
        decisions.finish();
        let mut cycles = criterion.benchmark_group("create and delete");
        cycles.bench_function(BenchmarkId::from_parameter(sample.name), |bencher| bencher.iter(cycle));
        cycles.finish();

        anyhow::ensure!(cycle()?.deleted, "nothing was done");
    }
    criterion.final_summary();
    Ok(())
}
