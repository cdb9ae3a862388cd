//! The list of unsafe code in the documentation of the crate is the whole of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dunnage_tests::scratch::repository;

const WORD: &str = "unsafe";

/// How often the keyword stands in a text, apart from comments.
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
    let documentation = fs::read_to_string(repository().join("host/src/lib.rs")).expect("the crate");
    let section = documentation.split("# Unsafe code").nth(1).expect("the section");
    let rows = section.lines().take_while(|line| line.starts_with("//!") || line.is_empty());
    rows.filter_map(|row| {
        let mut cells = row.strip_prefix("//! | `")?.split(" | ");
        let file = cells.next()?.trim_end_matches('`').to_owned();
        let count = cells.next()?.parse().expect("a number");
        assert!(cells.next().is_some_and(|reason| reason.len() > 10), "{file} has no reason");
        Some((file, count))
    })
    .collect()
}

#[test]
fn every_unsafe_place_is_listed_with_its_reason() {
    let mut found = BTreeMap::new();
    for path in ["host/src", "host/build.rs", "guest/src", "guest/artifact/src", "guest/artifact/build.rs"] {
        scan(&repository().join(path), &mut found);
    }
    assert_eq!(found, listed());
}

#[test]
fn only_the_keyword_counts() {
    assert_eq!(places("unsafe { f() } // unsafe\n// unsafe\nlet not_unsafe = 1; unsafe_code; #[unsafe(no_mangle)]"), 3);
}
