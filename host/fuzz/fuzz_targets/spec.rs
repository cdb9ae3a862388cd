//! The reader of specs against the second implementation of its rule.

#![no_main]

#[path = "../../../guest/tests/spec"]
mod reference {
    pub(crate) mod agree;
    mod oracle;
}

use libfuzzer_sys::fuzz_target;

use self::reference::agree::{agree, agree_on_task};

fuzz_target!(|input: &[u8]| {
    agree(input).unwrap();
    agree_on_task(input).unwrap();
});
