//! The specs that are measured with: real ones, and the same with more of everything.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A spec in a file.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// What tables call it.
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) bytes: usize,
}

/// Two real specs, which remap group 0, and two grown ones in a directory for them.
pub(crate) fn samples(scratch: &Path) -> anyhow::Result<[Sample; 4]> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data");
    let real = fs::read_to_string(data.join("seccomp.json")).context("tests/data/seccomp.json")?;
    let grown = |file: &str, size: usize| -> anyhow::Result<PathBuf> {
        let path = scratch.join(file);
        fs::write(&path, grow(&real, size)?)?;
        Ok(path)
    };
    let sample = |name, path: PathBuf| -> anyhow::Result<Sample> {
        let bytes = usize::try_from(fs::metadata(&path)?.len())?;
        Ok(Sample { name, path, bytes })
    };
    Ok([
        sample("2.9 KB", data.join("userns.json"))?,
        sample("8.3 KB", data.join("seccomp.json"))?,
        sample("256 KiB", grown("256k.json", 256 << 10)?)?,
        sample("1 MiB", grown("1m.json", 1 << 20)?)?,
    ])
}

/// Adds mounts, variables, annotations and rules of seccomp to a spec until it is this large.
fn grow(spec: &str, size: usize) -> anyhow::Result<String> {
    let (mut mounts, mut variables, mut annotations, mut rules) =
        (String::new(), String::new(), String::new(), String::new());
    let mut number = 0;
    while spec.len() + mounts.len() + variables.len() + annotations.len() + rules.len() < size {
        mounts.push_str(&format!(
            r#"{{"destination":"/data/{number}","type":"bind","source":"/srv/volumes/{number:016x}/data","options":["rbind","rprivate","ro"]}},"#
        ));
        variables.push_str(&format!(
            r#""SERVICE_{number}_ADDRESS=tcp://10.0.{}.{}:8080","#,
            number / 256,
            number % 256
        ));
        annotations.push_str(&format!(r#""io.example.annotation/{number}":"a value with \"quotes\" of {number}","#));
        rules.push_str(&format!(
            r#"{{"names":["call_{number}","call_{number}_at"],"action":"SCMP_ACT_ALLOW","args":[{{"index":0,"value":{number},"op":"SCMP_CMP_EQ"}}]}},"#
        ));
        number += 1;
    }
    let annotations = format!(r#""annotations":{{{}}},"root":{{"#, annotations.trim_end_matches(','));
    let mut grown = spec.to_owned();
    for (place, with) in [
        (r#""mounts":["#, format!(r#""mounts":[{mounts}"#)),
        (r#""env":["#, format!(r#""env":[{variables}"#)),
        (r#""syscalls":["#, format!(r#""syscalls":[{rules}"#)),
        (r#""root":{"#, annotations),
    ] {
        anyhow::ensure!(grown.matches(place).count() == 1, "the spec has no single {place}");
        grown = grown.replacen(place, &with, 1);
    }
    Ok(grown)
}
