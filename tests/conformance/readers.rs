//! The shipped component, which reads with vectors, beside its own sources as they are built for
//! this machine, which read with words.

use dunnage::{Dunnage, Spec};
use dunnage_policy::spec::remapped_gid;
use dunnage_tests::{Scratch, specs};

const BYTES: &[u8] = b"\"\\{]:, \n1ez\x01\x1a\x80\xff";

fn compare(dunnage: &Dunnage, text: &[u8]) {
    let component = dunnage.remapped_gid(&Spec::new(text));
    match (component, remapped_gid(text)) {
        (Ok(component), Ok(native)) => assert_eq!(component, native, "{}", text.escape_ascii()),
        (Err(component), Err(native)) => {
            let shown = component.to_string();
            assert!(shown.contains(&native.message), "{shown}, but {native:?}: {}", text.escape_ascii());
        }
        (component, native) => panic!("{component:?}, but {native:?}: {}", text.escape_ascii()),
    }
}

#[test]
fn the_component_reads_as_its_sources_say() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    let real = specs::userns().as_bytes().to_vec();
    let mut text = real.clone();
    for at in 0..text.len() {
        compare(&dunnage, &real[..at]);
        for byte in BYTES {
            text[at] = *byte;
            compare(&dunnage, &text);
        }
        text[at] = real[at];
    }
}

/// In every lane of a vector, and beside every border of two blocks.
#[test]
fn the_component_reads_every_byte_everywhere() {
    let scratch = Scratch::new();
    let dunnage = scratch.dunnage();
    for byte in 0..=u8::MAX {
        for space in 0..64 {
            let space = " ".repeat(space);
            for (before, behind) in [("", ""), ("\"", "\""), ("\"\\", "\"")] {
                compare(
                    &dunnage,
                    &[b"{\"x\":", space.as_bytes(), before.as_bytes(), &[byte], behind.as_bytes(), b"}"].concat(),
                );
            }
        }
    }
}
