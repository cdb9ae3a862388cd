//! The same as `spec`, but what the fuzzer chooses are specs and what is spoilt in them, so that it
//! is soon past the syntax.

#![no_main]

#[path = "../../../guest/tests/spec"]
mod reference {
    pub(crate) mod agree;
    pub(crate) mod generate;
    mod oracle;
}

use libfuzzer_sys::fuzz_target;

use self::reference::agree::{agree, agree_on_task};
use self::reference::generate::{Choices, REAL, mutate, specs, task_specs};

fuzz_target!(|input: &[u8]| {
    let Some((kind, choices)) = input.split_first() else { return };
    let (choices, mutations) = choices.split_at(choices.len() * 3 / 4);
    let mut choices = Choices::new(choices);
    let spec = match kind % 8 {
        0..3 => specs(&mut choices),
        3..6 => task_specs(&mut choices),
        real => REAL[usize::from(real) % REAL.len()].to_vec(),
    };
    let spec = mutate(spec, &mut Choices::new(mutations));
    agree(&spec).unwrap();
    agree_on_task(&spec).unwrap();
});
