use alloc::string::ToString;
use alloc::vec::Vec;
use alloc::{format, vec};

use super::*;
use crate::testing::{Broken, Operation, Recording};

const PLAIN: &[u8] = br#"{"linux":{}}"#;
const REMAPPED: &[u8] = br#"{"linux":{"gidMappings":[{"containerID":0,"hostID":100000,"size":65536}]}}"#;

fn plain_steps() -> Vec<Operation> {
    vec![
        Operation::CreateDirectory("rootfs".to_string(), 0o711),
        Operation::WriteSpec("config.json".to_string(), 0o600, None),
    ]
}

fn remapped_steps() -> Vec<Operation> {
    vec![
        Operation::SetGroup(100_000),
        Operation::SetMode(0o710),
        Operation::CreateDirectory("rootfs".to_string(), 0o711),
        Operation::WriteSpec("config.json".to_string(), 0o640, Some(100_000)),
    ]
}

#[test]
fn plain_bundle_is_left_to_its_owner() {
    let directory = Recording::default();
    assert_eq!(create(&directory, "default", "redis", PLAIN), Ok(0));
    assert_eq!(directory.operations(), plain_steps());
}

/// CVE-2021-41103: the group comes before the mode that lets it in.
#[test]
fn remapped_bundle_gets_its_group_before_its_mode() {
    let directory = Recording::default();
    assert_eq!(create(&directory, "default", "redis", REMAPPED), Ok(100_000));
    assert_eq!(directory.operations(), remapped_steps());
}

#[test]
fn a_failure_ends_it_and_names_the_step() {
    let remapped = [Step::SetGroup, Step::SetMode, Step::CreateRootfs, Step::WriteSpec];
    let plain = [Step::CreateRootfs, Step::WriteSpec];
    for (spec, steps, operations) in
        [(REMAPPED, remapped.as_slice(), remapped_steps()), (PLAIN, plain.as_slice(), plain_steps())]
    {
        assert_eq!(steps.len(), operations.len());
        for (number, step) in steps.iter().enumerate() {
            let directory = Recording::failing_at(number);
            let error = create(&directory, "default", "redis", spec).unwrap_err();
            assert_eq!(error, Error::Filesystem(*step, Broken("told to fail")));
            assert_eq!(directory.operations(), operations[..=number], "nothing follows {step:?}");
        }
        let directory = Recording::failing_at(steps.len());
        assert!(create(&directory, "default", "redis", spec).is_ok(), "there is no further step");
    }
}

#[test]
fn a_refusal_touches_nothing() {
    let directory = Recording::default();
    let bad_namespace = create(&directory, "a/b", "..", b"not JSON");
    assert!(matches!(bad_namespace, Err(Error::Identifier(error)) if error.part == identifier::Part::Namespace));
    let bad_id = create(&directory, "default", "..", b"not JSON");
    assert!(matches!(bad_id, Err(Error::Identifier(error)) if error.part == identifier::Part::Id));
    let bad_spec = create(&directory, "default", "redis", b"not JSON");
    assert!(matches!(bad_spec, Err(Error::Spec(error)) if error.fault == spec::Fault::Syntax));
    assert_eq!(directory.operations(), []);
}

/// Defect D8 of the original: the group stayed root's and the mode was widened all the same.
#[test]
fn the_group_that_is_none_is_refused_and_the_one_below_is_not() {
    let spec = |gid: u64| format!(r#"{{"linux":{{"gidMappings":[{{"hostID":{gid}}}]}}}}"#).into_bytes();
    let directory = Recording::default();
    let error = create(&directory, "default", "redis", &spec(4_294_967_295)).unwrap_err();
    assert!(matches!(error, Error::Spec(error) if error.fault == spec::Fault::ReservedGroup));
    assert_eq!(directory.operations(), []);
    assert_eq!(create(&directory, "default", "redis", &spec(4_294_967_294)), Ok(4_294_967_294));
}
