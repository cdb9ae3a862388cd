//! Many bundles, and many operations in one process.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use dunnage::{BundleId, Dunnage, Spec};
use serde::{Deserialize, Serialize};

use crate::contenders::{Places, command, output};
use crate::processes::{Cost, cost};
use crate::specs::Sample;

/// After this many operations everything that is kept has been allocated.
const SETTLED: u32 = 10_000;

/// What `list` and `recover` take with a number of bundles.
pub(crate) struct Many {
    pub(crate) bundles: u32,
    pub(crate) list: Cost,
    pub(crate) recover: Cost,
}

/// How a process has grown between the ten thousandth operation and its last one.
#[derive(Deserialize, Serialize)]
pub(crate) struct Growth {
    pub(crate) kilobytes: i64,
    pub(crate) descriptors: i64,
}

/// Measures with each of these numbers of bundles, which must rise.
pub(crate) fn many(sizes: &[u32], spec: &Sample, scratch: &Path) -> anyhow::Result<Vec<Many>> {
    let places = Places::below(&scratch.join("many"));
    let dunnage = Dunnage::builder().state(&places.state).root(&places.root).build()?;
    let spec = Spec::read_file(&spec.path, u64::MAX)?;
    let mut made = 0;
    let mut measure = |bundles: u32| -> anyhow::Result<Many> {
        for number in made..bundles {
            dunnage.create(&BundleId::new("default", format!("bundle-{number}")), &spec)?;
        }
        made = bundles;
        let list = cost(&["list", "--output", "json"], &places, 3)?;
        Ok(Many { bundles, list, recover: cost(&["recover", "--output", "json"], &places, 3)? })
    };
    let all = sizes.iter().map(|size| measure(*size)).collect();
    places.clear()?;
    all
}

/// Creates and deletes `count` bundles in one process.
pub(crate) fn endure(count: u32, spec: &Sample, scratch: &Path) -> anyhow::Result<Growth> {
    let places = Places::below(&scratch.join("endure"));
    let mut helper = command(&std::env::current_exe()?, &["endure", "--count", &count.to_string()]);
    helper.arg("--state").arg(&places.state).arg("--root").arg(&places.root).arg("--spec").arg(&spec.path);
    let growth = serde_json::from_slice(&output(&mut helper)?)?;
    places.clear()?;
    Ok(growth)
}

/// Does it, in this process, and prints the growth.
pub(crate) fn print_growth(count: u32, state: &Path, root: &Path, spec: &Path) -> anyhow::Result<()> {
    let dunnage = Dunnage::builder().state(state).root(root).build()?;
    let spec = Spec::read_file(spec, u64::MAX)?;
    let cycle = |number: u32| -> anyhow::Result<()> {
        let id = BundleId::new("default", format!("bundle-{number}"));
        dunnage.create(&id, &spec)?;
        dunnage.delete(&id, false)?;
        Ok(())
    };
    (0..SETTLED).try_for_each(cycle)?;
    let before = holdings()?;
    (SETTLED..count).try_for_each(cycle)?;
    let after = holdings()?;
    let growth = Growth { kilobytes: after.0 - before.0, descriptors: after.1 - before.1 };
    println!("{}", serde_json::to_string(&growth)?);
    Ok(())
}

/// The memory of this process in units of 1024 bytes, and its descriptors.
fn holdings() -> anyhow::Result<(i64, i64)> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let descriptors = fs::read_dir("/proc/self/fd")?.count();
    Ok((line.trim().trim_end_matches(" kB").parse()?, i64::try_from(descriptors)?))
}
