//! Sources with mistakes in them, so that the harness of faults can show that it finds such. The
//! mistakes are edits of a copy: the product has no line for them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::scratch::repository;

/// A mistake: a file, what stands there once, and what stands there instead.
const MISTAKES: [(&str, &str, &str); 5] = [
    // An undo step is missing.
    ("host/bundles/src/create.rs", "self.staging.discard(&self.bundles)", "Ok::<(), String>(())"),
    // Nothing checks whether the bundle got its name.
    (
        "host/bundles/src/staging.rs",
        "renamed?;\n        self.check_published(namespace, id)",
        "let _ = renamed;\n        Ok(())",
    ),
    // The work directory goes before its bundle.
    (
        "host/bundles/src/delete.rs",
        "let retired = retired.and_then(|()| self.retire());",
        "if let Some(work) = self.work.take() { work.remove(&self.name)?; }\n        let retired = retired.and_then(|()| self.retire());",
    ),
    // A boot that cannot be read is taken for another one.
    (
        "host/store/src/pairing.rs",
        "let boot = boot_id().at_step(Step::Pair)?;",
        "let boot = boot_id().unwrap_or_default();",
    ),
    // The record of a shim that was not started stays.
    ("host/shims/src/pending.rs", "None => self.record_dir.remove(),", "None => Ok(()),"),
];

/// Makes the sources, below a target directory.
pub(crate) fn sources(target_dir: &Path) -> PathBuf {
    let copy = target_dir.join("sabotaged");
    let _ = fs::remove_dir_all(&copy);
    for part in ["Cargo.lock", "rust-toolchain.toml", "guest/artifact", "guest/runtime", "host", "wit", "README.md"] {
        copy_all(&repository().join(part), &copy.join(part));
    }
    // Without the sources of the components their package takes the bytes that lie beside it.
    let artifact = copy.join("guest/artifact");
    fs::write(artifact.join("policy.wasm"), dunnage_policy_artifact::COMPONENT).expect("the policy");
    fs::write(artifact.join("baseline.wasm"), dunnage_policy_artifact::BASELINE).expect("the guard");
    let mut workspace = fs::read_to_string(repository().join("Cargo.toml")).expect("the workspace");
    for member in ["guest", "guest/baseline", "guest/go-json", "guest/guard", "tests", "tests/policies"] {
        replace(&mut workspace, &format!("  \"{member}\",\n"), "");
    }
    fs::write(copy.join("Cargo.toml"), workspace).expect("the workspace");
    for (file, before, after) in MISTAKES {
        let path = copy.join(file);
        let mut text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        replace(&mut text, before, after);
        fs::write(&path, text).expect("a source file");
    }
    copy
}

fn replace(text: &mut String, before: &str, after: &str) {
    assert_eq!(text.matches(before).count(), 1, "{before:?} has to stand there once");
    *text = text.replace(before, after);
}

fn copy_all(from: &Path, to: &Path) {
    let found = from.symlink_metadata().unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    if found.is_dir() {
        // The fuzz targets are a workspace of their own, with what they have found.
        if from.ends_with("host/fuzz") {
            return;
        }
        fs::create_dir_all(to).expect("a directory");
        for entry in fs::read_dir(from).expect("a directory of the repository") {
            let entry = entry.expect("an entry");
            copy_all(&entry.path(), &to.join(entry.file_name()));
        }
    } else if found.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from).expect("a link"), to).expect("a link");
    } else {
        fs::create_dir_all(to.parent().expect("a directory")).expect("a directory");
        fs::copy(from, to).expect("a source file");
    }
}
