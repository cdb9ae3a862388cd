//! The limits of a call can be set, hold, and are named by the message.

use std::time::Duration;

use dunnage::{Dunnage, ErrorKind, Limits, PolicySource, Spec, Step};
use dunnage_tests::hostile;
use dunnage_tests::scratch::id;
use dunnage_tests::watchdog::within;
use dunnage_tests::{Scratch, specs};

use crate::files::{policy_file, with_module};

/// A bundle manager with one limit changed.
fn limited(scratch: &Scratch, set: impl FnOnce(&mut Limits)) -> Dunnage {
    limited_policy(scratch, hostile::policy(), set)
}

fn limited_policy(scratch: &Scratch, policy: PolicySource, set: impl FnOnce(&mut Limits)) -> Dunnage {
    let mut limits = Limits::default();
    set(&mut limits);
    scratch.builder().policy(policy).limits(limits).build().expect("a bundle manager with limits")
}

#[track_caller]
fn assert_limit(dunnage: &Dunnage, name: &str, spec: &Spec, says: &str) {
    let error = dunnage.create(&id(name), spec).expect_err(name);
    assert_eq!(error.kind(), ErrorKind::PolicyLimit, "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

/// The same is refused one below what it needs, and done with what it needs.
#[test]
fn bytes_are_counted() {
    let scratch = Scratch::new();
    let spec = Spec::new(vec![b' '; 5000]);
    // An ordinary bundle moves the spec once: when it is written.
    let tight = limited(&scratch, |limits| limits.host_call_bytes = 4999);
    assert_limit(&tight, "web-1", &spec, "bytes through host functions");
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
    let enough = limited(&scratch, |limits| limits.host_call_bytes = 5000);
    enough.create(&id("web-1"), &spec).unwrap();
    // By default it ends too.
    let big = Spec::new(vec![b' '; 1 << 20]);
    assert_limit(&hostile::dunnage(&scratch), "bytes", &big, "bytes through host functions");
}

#[test]
fn steps_are_counted() {
    let scratch = Scratch::new();
    let works = |steps: u32| {
        let dunnage = limited(&scratch, |limits| limits.steps = steps);
        let result = dunnage.create(&id(&format!("web-{steps}")), &specs::plain());
        if let Err(error) = &result {
            assert_eq!(error.kind(), ErrorKind::PolicyLimit, "{error}");
            assert!(error.to_string().contains("too many host functions"), "{error}");
        }
        result.is_ok()
    };
    // It makes `rootfs`, it writes the spec, and it may drop its two handles.
    assert!(!works(0) && !works(1) && works(4));
}

#[test]
fn handles_are_counted() {
    let scratch = Scratch::new();
    let works = |handles: usize| {
        let dunnage = limited(&scratch, |limits| limits.handles = handles);
        let result = dunnage.create(&id(&format!("web-{handles}")), &specs::plain());
        if let Err(error) = &result {
            assert_eq!(error.kind(), ErrorKind::PolicyLimit, "{error}");
            assert!(error.to_string().contains("too many handles"), "{error}");
        }
        result.is_ok()
    };
    // Every call lends two: the directory and the spec.
    assert!(!works(1) && works(2));
}

#[test]
fn memory_is_limited() {
    let scratch = Scratch::new();
    let small = limited(&scratch, |limits| limits.memory = 4 << 20);
    assert_limit(&small, "memory", &specs::plain(), "the limit is 4194304");
    assert_limit(&small, "memory", &specs::plain(), "bytes of memory");
    small.create(&id("web-1"), &specs::plain()).unwrap();
}

/// A limit that is below what the component needs to start, a page of 64 KiB.
#[test]
fn too_little_memory_is_told_at_once() {
    let scratch = Scratch::new();
    let mut limits = Limits::default();
    limits.memory = 32 << 10;
    let result = scratch.builder().policy(hostile::policy()).limits(limits).build();
    let error = result.and_then(|dunnage| dunnage.remapped_gid(&specs::plain())).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::PolicyLimit | ErrorKind::PolicyRejected | ErrorKind::Unsupported),
        "{error}"
    );
    assert!(error.to_string().contains("memory"), "{error}");
}

/// With the default of two seconds this would take more than three minutes.
#[test]
fn time_is_limited() {
    let scratch = Scratch::new();
    let hasty = limited(&scratch, |limits| limits.time = Duration::from_millis(10));
    within(Duration::from_secs(150), "a hundred endless calls", || {
        for _ in 0..50 {
            assert_limit(&hasty, "spin", &specs::plain(), "too long");
            assert_limit(&hasty, "spin-late", &specs::plain(), "too long");
        }
    });
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
}

#[test]
fn tables_are_limited() {
    let scratch = Scratch::new();
    let grows = "(module (table 1 funcref) (func $s (if (i32.eq (table.grow (ref.null func) (i32.const 5000)) \
                 (i32.const -1)) (then unreachable))) (start $s))";
    let policy = || policy_file(&scratch, &with_module(grows));
    let error = limited_policy(&scratch, policy(), |_| {}).remapped_gid(&specs::plain()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PolicyLimit, "{error}");
    assert!(error.to_string().contains("5001 table elements, but the limit is 4096"), "{error}");
    limited_policy(&scratch, policy(), |limits| limits.table_elements = 5001).remapped_gid(&specs::plain()).unwrap();
}

/// Code that runs before the first call is under the same limits.
#[test]
fn start_functions_are_under_the_limits() {
    let scratch = Scratch::new();
    let spins = "(module (func $s (loop $l (br $l))) (start $s))";
    let traps = "(module (func $s unreachable) (start $s))";
    within(Duration::from_secs(100), "a start function", || {
        for (module, kind) in [(spins, ErrorKind::PolicyLimit), (traps, ErrorKind::PolicyTrapped)] {
            let policy = policy_file(&scratch, &with_module(module));
            let dunnage = limited_policy(&scratch, policy, |limits| limits.time = Duration::from_millis(50));
            let error = dunnage.create(&id("web-1"), &specs::plain()).unwrap_err();
            assert_eq!((error.kind(), error.step()), (kind, Step::StartPolicy), "{error}");
        }
    });
    assert!(!scratch.state().exists());
}

#[test]
fn specs_are_limited() {
    let scratch = Scratch::new();
    let dunnage = limited(&scratch, |limits| limits.spec_size = 10);
    let at_most = Spec::new(vec![b' '; 10]);
    let larger = Spec::new(vec![b' '; 11]);
    dunnage.create(&id("web-1"), &at_most).unwrap();
    for error in [dunnage.create(&id("web-2"), &larger).unwrap_err(), dunnage.remapped_gid(&larger).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::SpecTooLarge, "{error}");
        assert!(error.to_string().contains("limit of 10 bytes"), "{error}");
    }
}

/// The pool of the shipped policy can be done without, its limits cannot.
#[test]
fn without_a_pool_the_limits_are_the_same() {
    let scratch = Scratch::new();
    let with = |pool, set: fn(&mut Limits)| {
        let mut limits = Limits::default();
        set(&mut limits);
        scratch.builder().pool(pool).limits(limits).build()
    };
    let long = specs::text(&format!(r#"{{"ociVersion":"1.0.2","hostname":"{}"}}"#, "x".repeat(8 << 20)));
    for pool in [true, false] {
        let small = with(pool, |limits| limits.memory = 4 << 20).unwrap();
        assert_limit(&small, "web-1", &long, "the limit is 4194304");
        assert_eq!(small.remapped_gid(&specs::plain()).unwrap(), 0);
        for set in [|limits: &mut Limits| limits.memory = 32 << 10, |limits: &mut Limits| limits.table_elements = 1] {
            with(pool, set).and_then(|dunnage| dunnage.remapped_gid(&specs::plain())).unwrap_err();
        }
        let steps = with(pool, |limits| limits.steps = 1).unwrap();
        assert_limit(&steps, "web-1", &specs::plain(), "1");
    }
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
}
