//! For every input the original's answer or a permitted refusal, never another answer.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::agree::{agree, agree_on_task};
use crate::generate::{Choices, REAL, mutate, specs, task_specs};

fn check_task(input: &[u8]) -> Result<(), TestCaseError> {
    agree_on_task(input).map(drop).map_err(TestCaseError::fail)
}

fn check(input: &[u8]) -> Result<(), TestCaseError> {
    agree(input).map(drop).map_err(TestCaseError::fail)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn synthetic_specs(choices in vec(any::<u8>(), 0..160)) {
        check(&specs(&mut Choices::new(&choices)))?;
    }

    #[test]
    fn mutated_synthetic_specs(choices in vec(any::<u8>(), 0..160), mutations in vec(any::<u8>(), 0..40)) {
        check(&mutate(specs(&mut Choices::new(&choices)), &mut Choices::new(&mutations)))?;
    }

    #[test]
    fn synthetic_tasks(choices in vec(any::<u8>(), 0..240), mutations in vec(any::<u8>(), 0..24)) {
        let spec = task_specs(&mut Choices::new(&choices));
        check_task(&spec)?;
        check_task(&mutate(spec, &mut Choices::new(&mutations)))?;
    }

    #[test]
    fn soup(bytes in vec(proptest::sample::select(&b"{}[]\",:\\u0dD8e17.-+ nulltrsfax\xc3\xa9\xff\x1f"[..]), 0..24)) {
        check(&bytes)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_real_specs(spec in 0..REAL.len(), mutations in vec(any::<u8>(), 0..40)) {
        let spec = mutate(REAL[spec].to_vec(), &mut Choices::new(&mutations));
        check(&spec)?;
        check_task(&spec)?;
    }
}

/// Without this, generators that only ever make rubbish would pass for a proof.
#[test]
fn the_generators_reach_every_outcome() {
    let mut state = 7_u64;
    let mut bytes = |count: usize| -> Vec<u8> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as u8
        };
        (0..count).map(|_| next()).collect()
    };
    let mut outcomes = BTreeMap::<String, usize>::new();
    let mut tasks = BTreeMap::<String, usize>::new();
    for round in 0..30_000 {
        let spec = specs(&mut Choices::new(&bytes(160)));
        let spec = if round % 2 == 0 { spec } else { mutate(spec, &mut Choices::new(&bytes(12))) };
        *outcomes.entry(agree(&spec).unwrap()).or_default() += 1;
        let task = task_specs(&mut Choices::new(&bytes(240)));
        let task = if round % 2 == 0 { task } else { mutate(task, &mut Choices::new(&bytes(12))) };
        *tasks.entry(agree_on_task(&task).unwrap()).or_default() += 1;
    }
    let common = ["DuplicateKey", "Encoding", "FoldedKey", "Number", "Surrogate", "Syntax", "WrongType"];
    for (outcomes, own) in
        [(outcomes, ["ReservedGroup", "none", "remapped"]), (tasks, ["UnmappedUser", "root", "user"])]
    {
        for outcome in common.into_iter().chain(own) {
            assert!(outcomes.get(outcome).is_some_and(|count| *count >= 100), "{outcome}: {outcomes:?}");
        }
    }
}
