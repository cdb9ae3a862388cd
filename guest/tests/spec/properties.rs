//! For every input the original's answer or a permitted refusal, never another answer.

use std::collections::BTreeMap;

use dunnage_policy::spec::{remapped_gid, task_settings};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::generate::{Choices, REAL, mutate, specs, task_specs};
use crate::oracle;

/// Compares the policy with the oracle; the outcome is for counting.
fn agree(input: &[u8]) -> Result<String, String> {
    let ruling = oracle::rule(input);
    let answer = remapped_gid(input);
    let agrees = match &answer {
        Ok(gid) => ruling.refusals.is_empty() && ruling.original == Some(*gid),
        Err(error) => ruling.refusals.contains(&error.fault),
    };
    if !agrees {
        return Err(format!("{answer:?}, but {ruling:?}: {}", input.escape_ascii()));
    }
    Ok(match answer {
        Ok(0) => "none".into(),
        Ok(_) => "remapped".into(),
        Err(error) => format!("{:?}", error.fault),
    })
}

/// The same for what the caller of a shim has to know.
fn agree_on_task(input: &[u8]) -> Result<String, String> {
    let (refusals, expected) = oracle::rule_task(input);
    let answer = task_settings(input);
    let agrees = match &answer {
        Ok(found) => refusals.is_empty() && (found.terminal, found.io_uid, found.io_gid) == expected,
        Err(error) => refusals.contains(&error.fault),
    };
    if !agrees {
        return Err(format!("{answer:?}, but {refusals:?} or {expected:?}: {}", input.escape_ascii()));
    }
    Ok(match answer {
        Ok(found) if found.io_uid == 0 && found.io_gid == 0 => "root".into(),
        Ok(_) => "user".into(),
        Err(error) => format!("{:?}", error.fault),
    })
}

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
