//! What a shim is started with, and what its caller needs to know about the spec.

use dunnage::{BundleId, Dunnage, ErrorKind, RuncOptions, ShimOptions};
use dunnage_tests::{Scratch, specs};

/// `newCommand` of containerd's shim client: what it puts behind the name of the shim.
#[test]
fn a_shim_is_started_as_containerd_starts_it() {
    let always = "-namespace moby -workdir /w/redis7";
    for (daemon, node, own, systemd_cgroup, debug, expected) in [
        ("/run/containerd/containerd.sock", "", "", false, false, "-address /run/containerd/containerd.sock"),
        ("/d", "/run/runc", "", false, false, "-address /d -runtime-root /run/runc"),
        ("/d", "/run/runc", "/run/own", true, false, "-address /d -runtime-root /run/own -systemd-cgroup"),
        ("/d", "", "", false, true, "-address /d -debug"),
        ("", "/r", "", true, true, "-address  -runtime-root /r -systemd-cgroup -debug"),
    ] {
        let dunnage = Dunnage::builder().daemon_address(daemon).build().unwrap();
        let bundle = dunnage.load_unchecked(&BundleId::new("moby", "redis7"), "/b/redis7", "/w/redis7");
        let runc = Some(RuncOptions { runtime_root: own.to_owned(), systemd_cgroup });
        let config = dunnage.shim_config(&bundle, &ShimOptions { runtime_root: node.to_owned(), runc }).unwrap();
        let found = dunnage.shim_start_arguments(&bundle, &config, "/usr/bin/dunnage".as_ref(), debug).unwrap();
        let address = format!("-address {daemon}");
        let with_publisher = expected.replacen(&address, &format!("{address} -containerd-binary /usr/bin/dunnage"), 1);
        assert_eq!(found.join(" "), format!("{always} {with_publisher}"));
        assert_eq!(found[..6], ["-namespace", "moby", "-workdir", "/w/redis7", "-address", daemon]);
    }
}

#[test]
fn arguments_are_made_from_settings_of_the_bundle_alone() {
    let dunnage = Dunnage::builder().build().unwrap();
    let load = |id: &str| dunnage.load_unchecked(&BundleId::new("moby", id), format!("/b/{id}"), format!("/w/{id}"));
    let (bundle, other) = (load("redis7"), load("web"));
    let config = dunnage.shim_config(&bundle, &ShimOptions::default()).unwrap();
    let kind = |bundle, config, publisher: &str| {
        dunnage.shim_start_arguments(bundle, config, publisher.as_ref(), false).unwrap_err().kind()
    };
    assert_eq!(kind(&other, &config, "/p"), ErrorKind::InvalidConfig);
    assert_eq!(kind(&bundle, &config, "/p\0"), ErrorKind::InvalidConfig);
    let bad = dunnage.load_unchecked(&BundleId::new("moby", "../x"), "/b/redis7", "/w/redis7");
    assert_eq!(kind(&bad, &config, "/p"), ErrorKind::InvalidIdentifier);
}

/// Specs that containerd wrote.
#[test]
fn task_settings_of_real_specs() {
    let dunnage = Scratch::new().dunnage();
    for (file, host) in [("plain.json", 0), ("userns.json", 100_000), ("seccomp.json", 100_000)] {
        let found = dunnage.task_settings(&specs::file(file)).unwrap();
        assert_eq!((found.terminal, found.io_uid, found.io_gid), (false, host, host), "{file}");
    }
}

#[test]
fn task_settings_name_the_users_ids_on_the_host() {
    let dunnage = Scratch::new().dunnage();
    let spec = |size: u32| {
        let map = |host: u32| format!(r#"[{{"containerID":0,"hostID":{host},"size":{size}}}]"#);
        specs::text(&format!(
            r#"{{"process":{{"terminal":true,"user":{{"uid":1000,"gid":50}}}},"linux":{{"uidMappings":{},"gidMappings":{}}}}}"#,
            map(100_000),
            map(200_000)
        ))
    };
    let found = dunnage.task_settings(&spec(65_536)).unwrap();
    assert_eq!((found.terminal, found.io_uid, found.io_gid), (true, 101_000, 200_050));
    let error = dunnage.task_settings(&spec(1000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidSpec);
    assert!(error.to_string().contains("process.user.uid is 1000, which linux.uidMappings does not cover"), "{error}");
    for ambiguous in [r#"{"Process":{}}"#, r#"{"process":{"user":{},"user":{}}}"#, r#"{"process":{"terminal":"yes"}}"#]
    {
        assert_eq!(dunnage.task_settings(&specs::text(ambiguous)).unwrap_err().kind(), ErrorKind::InvalidSpec);
    }
}
