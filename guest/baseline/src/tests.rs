use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use std::println;

use dunnage_guard::testing::review;
use dunnage_guard::{Denial, Operation};
use serde_json::{Value, json};

use super::*;

/// A container as engines make it.
fn usual() -> Value {
    serde_json::from_str(include_str!("tests/usual.json")).unwrap()
}

fn set(spec: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = spec.pointer_mut(parent).unwrap();
    match parent.as_array_mut() {
        Some(list) if name == "-" => list.push(value),
        Some(list) => list[name.parse::<usize>().unwrap()] = value,
        None => drop(parent.as_object_mut().unwrap().insert(name.into(), value)),
    }
}

/// What is said of the usual container with one change.
fn changed(pointer: &str, value: Value, settings: &str) -> Result<(), (String, Option<String>)> {
    let mut spec = usual();
    set(&mut spec, pointer, value);
    verdict(Operation::Create, &spec, settings)
}

fn verdict(operation: Operation, subject: &Value, settings: &str) -> Result<(), (String, Option<String>)> {
    let verdict = review::<Baseline>(operation, &subject.to_string(), settings);
    verdict.map(drop).map_err(|Denial { rule, reason, pointer }| {
        println!("{rule}: {reason}");
        (rule, pointer)
    })
}

fn denied(rule: &str, pointer: &str) -> Result<(), (String, Option<String>)> {
    Err((rule.into(), Some(pointer.into())))
}

const RESTRICTED: &str = r#"{"profile":"restricted"}"#;

#[test]
fn usual_containers_pass() {
    assert_eq!(verdict(Operation::Create, &usual(), "{}"), Ok(()));
    assert_eq!(verdict(Operation::Restore, &usual(), ""), Ok(()));
    assert_eq!(verdict(Operation::Exec, &usual()["process"], "{}"), Ok(()));
    assert_eq!(verdict(Operation::Update, &json!({"memory":{"limit":1},"devices":[]}), "{}"), Ok(()));
}

#[test]
fn each_rule_denies_what_it_is_about() {
    let all: Vec<_> = ["CHOWN", "DAC_OVERRIDE"].map(|name| json!(name)).into();
    assert!(all.len() < 38);
    let bind = |source: &str| json!({"destination":"/x","type":"bind","source":source,"options":["rbind","ro"]});
    for (pointer, value, rule, at) in [
        ("/linux/maskedPaths", json!([]), "masked-paths", "/linux/maskedPaths"),
        ("/linux/maskedPaths", Value::Null, "masked-paths", "/linux/maskedPaths"),
        ("/linux/readonlyPaths", json!(["/proc/bus"]), "masked-paths", "/linux/readonlyPaths"),
        ("/linux/namespaces", json!([{"type":"pid"}]), "host-namespaces", "/linux/namespaces"),
        ("/linux/namespaces/1/path", json!("/proc/1/ns/net"), "host-namespaces", "/linux/namespaces/1/path"),
        (
            "/linux/namespaces/1/path",
            json!("/proc//self/../1/task/1/ns/net"),
            "host-namespaces",
            "/linux/namespaces/1/path",
        ),
        (
            "/process/capabilities/bounding/-",
            json!("CAP_SYS_ADMIN"),
            "capabilities",
            "/process/capabilities/bounding/3",
        ),
        ("/process/capabilities/ambient", json!(["cap_sys_ptrace"]), "capabilities", "/process/capabilities/ambient/0"),
        (
            "/process/capabilities/effective",
            json!(["CAP_ANYTHING"]),
            "capabilities",
            "/process/capabilities/effective/0",
        ),
        ("/linux/seccomp", json!({"defaultAction":"SCMP_ACT_ALLOW"}), "seccomp", "/linux/seccomp/defaultAction"),
        ("/process/apparmorProfile", json!("unconfined"), "apparmor", "/process/apparmorProfile"),
        ("/process/selinuxLabel", json!("system_u:system_r:spc_t:s0"), "selinux", "/process/selinuxLabel"),
        ("/linux/mountLabel", json!("a:b:unconfined_t"), "selinux", "/linux/mountLabel"),
        ("/linux/sysctl", json!({"kernel.core_pattern":"x"}), "sysctls", "/linux/sysctl/kernel.core_pattern"),
        ("/linux/sysctl", json!({"net/ipv4/ip_forward":"1"}), "sysctls", "/linux/sysctl/net~1ipv4~1ip_forward"),
        ("/linux/devices", json!([{"path":"/dev/sda","type":"b","major":8,"minor":0}]), "devices", "/linux/devices/0"),
        ("/linux/resources/devices/-", json!({"allow":true,"access":"rwm"}), "devices", "/linux/resources/devices/1"),
        (
            "/linux/resources/devices/-",
            json!({"allow":true,"type":"c","major":1,"minor":1,"access":"r"}),
            "devices",
            "/linux/resources/devices/1",
        ),
        (
            "/linux/resources/devices/-",
            json!({"allow":true,"type":"b","major":136,"minor":0,"access":"r"}),
            "devices",
            "/linux/resources/devices/1",
        ),
        ("/linux/rootfsPropagation", json!("rshared"), "propagation", "/linux/rootfsPropagation"),
        ("/mounts/0/options", json!(["shared"]), "propagation", "/mounts/0/options"),
        ("/mounts/-", bind("/"), "host-paths", "/mounts/7/source"),
        ("/mounts/-", bind("/etc"), "host-paths", "/mounts/7/source"),
        ("/mounts/-", bind("/etc/kubernetes/pki"), "host-paths", "/mounts/7/source"),
        ("/mounts/-", bind("/run"), "host-paths", "/mounts/7/source"),
        ("/mounts/-", bind("/var"), "host-paths", "/mounts/7/source"),
        ("/mounts/-", bind("/var/run/docker.sock"), "host-paths", "/mounts/7/source"),
        ("/mounts/-", bind("/run/../run//./docker.sock"), "host-paths", "/mounts/7/source"),
        ("/mounts/-", bind("/proc/1/root/srv"), "host-paths", "/mounts/7/source"),
        ("/mounts/-", bind("/srv/elsewhere/containerd.sock"), "host-paths", "/mounts/7/source"),
        ("/mounts/-", bind("../../../etc"), "host-paths", "/mounts/7/source"),
        ("/mounts/-", bind("/dev/sda"), "host-paths", "/mounts/7/source"),
        ("/mounts/-", json!({"destination":"/x","source":"/etc"}), "host-paths", "/mounts/7/source"),
        (
            "/mounts/-",
            json!({"destination":"/x","type":"tmpfs","source":"/etc","options":["bind"]}),
            "host-paths",
            "/mounts/7/source",
        ),
        ("/mounts/-", json!({"destination":"/x","type":"ext4","source":"/dev/sda1"}), "host-paths", "/mounts/7/type"),
        ("/mounts/-", json!({"destination":"/x","type":"devtmpfs","source":"dev"}), "host-paths", "/mounts/7/type"),
        (
            "/mounts/-",
            json!({"destination":"/x","type":"overlay","source":"overlay","options":["lowerdir=/"]}),
            "host-paths",
            "/mounts/7/type",
        ),
        ("/mounts/-", json!({"destination":"/p","type":"proc","source":"proc"}), "host-paths", "/mounts/7/destination"),
        (
            "/mounts/-",
            json!({"destination":"/sys/","type":"sysfs","source":"sysfs"}),
            "host-paths",
            "/mounts/7/options",
        ),
    ] {
        assert_eq!(changed(pointer, value.clone(), "{}"), denied(rule, at), "{pointer} {value}");
        // Each rule can be switched off.
        let off = json!({"rules":{rule:"off"}}).to_string();
        assert_eq!(changed(pointer, value.clone(), &off), Ok(()), "{pointer} {value}");
    }
}

#[test]
fn restricted_containers_are_hardened() {
    let mut spec = usual();
    assert_eq!(verdict(Operation::Create, &spec, RESTRICTED), denied("seccomp", "/linux"));
    for (pointer, value, rule, at) in [
        (
            "/linux/seccomp",
            json!({"defaultAction":"SCMP_ACT_ERRNO"}),
            "capabilities",
            "/process/capabilities/bounding/0",
        ),
        ("/process/capabilities", json!({"bounding":["CAP_NET_BIND_SERVICE"]}), "root-user", "/process/user/uid"),
        ("/process/user/uid", json!(1000), "no-new-privileges", "/process/noNewPrivileges"),
    ] {
        set(&mut spec, pointer, value);
        if pointer == "/process/user/uid" {
            set(&mut spec, "/process/noNewPrivileges", json!(false));
        }
        assert_eq!(verdict(Operation::Create, &spec, RESTRICTED), denied(rule, at));
    }
    set(&mut spec, "/process/noNewPrivileges", json!(true));
    assert_eq!(verdict(Operation::Create, &spec, RESTRICTED), Ok(()));
    let more = r#"{"profile":"restricted","rules":{"readonly-root":"on","user-namespace":"on"}}"#;
    assert_eq!(verdict(Operation::Create, &spec, more), denied("user-namespace", "/linux/namespaces"));
    set(&mut spec, "/linux/namespaces/-", json!({"type":"user"}));
    set(&mut spec, "/root/readonly", json!(false));
    assert_eq!(verdict(Operation::Create, &spec, more), denied("readonly-root", "/root/readonly"));
    set(&mut spec, "/root/readonly", json!(true));
    let bind = json!({"destination":"/x","type":"bind","source":"/srv/data","options":["rbind","ro"]});
    assert_eq!(changed("/mounts/-", bind.clone(), "{}"), Ok(()));
    set(&mut spec, "/mounts/-", bind);
    assert_eq!(verdict(Operation::Create, &spec, more), denied("host-paths", "/mounts/7/source"));
    set(&mut spec, "/mounts/7/source", json!("/var/lib/kubelet/pods/uid/volumes/x"));
    assert_eq!(verdict(Operation::Create, &spec, more), Ok(()));
}

#[test]
fn a_further_process_is_checked_as_strictly() {
    let process = json!({"user":{"uid":0},"capabilities":{"bounding":["CAP_SYS_ADMIN"]}});
    assert_eq!(verdict(Operation::Exec, &process, "{}"), denied("capabilities", "/capabilities/bounding/0"));
    assert_eq!(verdict(Operation::Exec, &json!({"user":{}}), RESTRICTED), denied("root-user", "/user/uid"));
    let resources = json!({"devices":[{"allow":true,"type":"a"}]});
    assert_eq!(verdict(Operation::Update, &resources, "{}"), denied("devices", "/devices/0"));
}

#[test]
fn all_capabilities_are_a_privileged_container() {
    let mut spec = usual();
    let all: Vec<String> = (0..41).map(|number| ALL_NAMES[number].to_string()).collect();
    set(&mut spec, "/process/capabilities/bounding", json!(all));
    assert_eq!(verdict(Operation::Create, &spec, "{}"), denied("privileged", "/process/capabilities/bounding"));
}

const ALL_NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

#[test]
fn keys_that_readers_disagree_on_are_denied() {
    for text in [
        r#"{"Linux":{}}"#,
        r#"{"linux":{},"linux":{}}"#,
        r#"{"linux":{"mas\u212aedPaths":[]}}"#,
        r#"{"linux":{"sysctl":{"a":"1","a":"2"}}}"#,
        r#"{"process":{"noNewPrivileges":"true"}}"#,
        "{",
        "",
    ] {
        let verdict = review::<Baseline>(Operation::Create, text, "{}").unwrap_err();
        assert_eq!(verdict.rule, "unreadable", "{text}");
    }
}

#[test]
fn settings_allow_more_and_are_checked() {
    let allowed = r#"{"allowedCapabilities":["sys_admin"],"allowedSysctls":["net/core/somaxconn"],
        "allowedHostPaths":["/etc/ssl/"],"allowedDevices":["10:229"]}"#;
    let bind = |source: &str| json!({"destination":"/x","type":"bind","source":source,"options":["rbind"]});
    for (pointer, value) in [
        ("/process/capabilities/bounding", json!(["CAP_SYS_ADMIN"])),
        ("/linux/sysctl", json!({"net.core.somaxconn":"1"})),
        ("/mounts/-", bind("/etc/ssl/certs")),
        ("/linux/devices", json!([{"path":"/dev/fuse","type":"c","major":10,"minor":229}])),
    ] {
        assert_eq!(changed(pointer, value.clone(), allowed), Ok(()), "{value}");
        assert!(changed(pointer, value, "{}").is_err());
    }
    assert_eq!(changed("/mounts/-", bind("/etc/ssl/../shadow"), allowed), denied("host-paths", "/mounts/7/source"));
    for (pointer, value) in [
        (
            "/mounts/-",
            json!({"destination":"/etc/localtime","type":"bind","source":"/etc/localtime","options":["bind","ro"]}),
        ),
        ("/mounts/-", bind("/var/lib/docker/containers/x/hosts")),
        (
            "/hooks",
            json!({"prestart":[{"path":"/proc/77/exe","args":["libnetwork-setkey","-exec-root=/var/run/docker"]}]}),
        ),
        ("/root/path", json!("/var/lib/docker/overlay2/x/merged")),
        ("/linux/cgroupsPath", json!("system.slice:docker:x")),
        ("/linux/namespaces/1/path", json!("/proc/4242/ns/net")),
        ("/linux/namespaces/1/path", json!("/var/run/netns/cni-x")),
    ] {
        assert_eq!(changed(pointer, value.clone(), "{}"), Ok(()), "{value}");
    }
    let hooks = json!({"poststop":[{"path":"/usr/bin/nvidia"}]});
    assert_eq!(changed("/hooks", hooks, r#"{"allowedHooks":["/usr/bin/nvidia"]}"#), Ok(()));
    for wrong in [
        r#"{"allowedHostPaths":[""]}"#,
        r#"{"allowedHostPaths":["/a/.."]}"#,
        r#"{"allowedDevices":["10"]}"#,
        "[]",
        r#"{"profile":"lax"}"#,
        r#"{"rules":{"capabilites":"off"}}"#,
        r#"{"Profile":"baseline"}"#,
    ] {
        assert_eq!(changed("/hostname", json!("x"), wrong), Err(("settings".into(), None)), "{wrong}");
    }
}
