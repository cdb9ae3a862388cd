use dunnage_core::{BundleId, Operation, Spec};

use super::*;

fn ask(subject: &str, settings: &str) -> Verdict {
    let guard = Guard::load("baseline", GuardCode::Baseline, Limits::default(), false).unwrap();
    let id = BundleId::new("default", "web");
    guard.review(&ReviewRequest::new(Operation::Create, id, Spec::new(subject.as_bytes())), settings).unwrap()
}

#[test]
fn the_shipped_guard_answers() {
    let guard = Guard::load("baseline", GuardCode::Baseline, Limits::default(), true).unwrap();
    let metadata = guard.describe().unwrap();
    assert_eq!((&*metadata.name, &*metadata.version), ("baseline", env!("CARGO_PKG_VERSION")));
    assert_eq!(metadata.operations, Operation::ALL);
    guard.check_settings(r#"{"profile":"restricted"}"#).unwrap();
    let wrong = guard.check_settings(r#"{"profil":"restricted"}"#).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::GuardRejected);
    assert!(wrong.to_string().contains("unknown field `profil`"), "{wrong}");
}

#[test]
fn a_denial_says_which_rule_and_where() {
    let usual = include_str!("../../../../guest/baseline/src/tests/usual.json");
    assert_eq!(ask(usual, "{}"), Verdict::Allow(Vec::new()));
    let Verdict::Deny(denial) = ask(&usual.replace("\"pid\"", "\"uts\""), "{}") else { panic!("it is allowed") };
    assert_eq!((&*denial.rule, denial.pointer.as_deref()), ("host-namespaces", Some("/linux/namespaces")));
    let Verdict::Deny(denial) = ask("{\"Linux\":{}}", "{}") else { panic!("it is allowed") };
    assert_eq!(denial.rule, "unreadable");
}
