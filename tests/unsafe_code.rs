//! The list of unsafe code in the documentation is the whole of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dunnage_tests::scratch::repository;

const WORD: &str = "unsafe";

/// How often the keyword occurs in a text, apart from comments.
fn places(text: &str) -> usize {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.map(|line| {
        let found = line.match_indices(WORD).filter(|(at, word)| {
            let (before, after) = (&line[..*at], &line[at + word.len()..]);
            !before.ends_with(is_part) && !after.starts_with(is_part)
        });
        found.count()
    })
    .sum()
}

fn scan(path: &Path, found: &mut BTreeMap<String, usize>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a directory of the repository") {
            scan(&entry.expect("an entry").path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        let count = places(&fs::read_to_string(path).expect("a source file"));
        if count > 0 {
            let below = path.strip_prefix(repository()).expect("a path in the repository");
            found.insert(below.to_str().expect("UTF-8").to_owned(), count);
        }
    }
}

/// The rows of the table: a file, a number, a reason.
fn listed() -> BTreeMap<String, usize> {
    let page = fs::read_to_string(repository().join("host/src/docs/unsafe_code.md")).expect("the page");
    let rows = page.lines().filter_map(|row| {
        let mut cells = row.strip_prefix("| `")?.split(" | ");
        let file = cells.next()?.trim_end_matches('`').to_owned();
        let count = cells.next()?.parse().expect("a number");
        assert!(cells.next().is_some_and(|reason| reason.len() > 10), "{file} has no reason");
        Some((file, count))
    });
    rows.collect()
}

/// What is compiled into the product: the crates of `host`, the policy, and what builds it.
fn sources() -> Vec<PathBuf> {
    let mut sources: Vec<_> = ["guest/src", "host/src"].map(PathBuf::from).into();
    for directory in ["guest", "host"] {
        for entry in fs::read_dir(repository().join(directory)).expect("a directory of crates") {
            let krate = PathBuf::from(directory).join(entry.expect("an entry").file_name());
            sources.extend([krate.join("src"), krate.join("build.rs")]);
        }
    }
    sources.retain(|path| repository().join(path).exists());
    sources
}

#[test]
fn every_unsafe_place_is_listed_with_its_reason() {
    let mut found = BTreeMap::new();
    for path in sources() {
        scan(&repository().join(path), &mut found);
    }
    assert_eq!(found, listed());
}

#[test]
fn only_the_keyword_counts() {
    assert_eq!(places("unsafe { f() } // unsafe\n// unsafe\nlet not_unsafe = 1; unsafe_code; #[unsafe(no_mangle)]"), 3);
}

/// Crates without such code cannot get any by accident.
#[test]
fn every_other_crate_forbids_unsafe_code() {
    let listed = listed();
    let mut checked = 0;
    for source in sources().iter().filter(|source| source.ends_with("src")) {
        let inside = |file: &String| Path::new(file).starts_with(source);
        // Generated code says `allow` or `expect`, which nothing can forbid.
        let is_generated =
            ["guest/src", "guest/baseline/src", "host/shim-proto/src"].iter().any(|path| source == Path::new(path));
        if listed.keys().any(inside) || is_generated {
            continue;
        }
        let root = ["lib.rs", "main.rs"].map(|name| repository().join(source).join(name));
        let root = root.iter().find(|root| root.exists()).unwrap_or_else(|| panic!("{}: no crate", source.display()));
        let text = fs::read_to_string(root).expect("a source file");
        assert!(text.contains("\n#![forbid(unsafe_code)]\n"), "{} does not forbid unsafe code", source.display());
        checked += 1;
    }
    assert!(checked > 7, "{checked}");
}
