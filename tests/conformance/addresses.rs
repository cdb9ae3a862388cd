//! Where shims listen and how they are set up: `shimAddress`, `legacyShimAddress`,
//! `decideShimAddress`, `shimConfig`.

use dunnage::{BundleId, Dunnage, ErrorKind, RuncOptions, ShimOptions};
use dunnage_tests::{Scratch, scratch, specs};

const CONTAINERD: &str = "/run/containerd/containerd.sock";

fn address(daemon: &str, namespace: &str, id: &str) -> String {
    let dunnage = Dunnage::builder().daemon_address(daemon).build().unwrap();
    dunnage.shim_address(&BundleId::new(namespace, id)).unwrap()
}

/// `shimAddress`: rows that the original computed (`reference/containerd-v1.md`).
#[test]
fn shim_addresses_are_those_of_containerd() {
    let new_bundle = "unix:///run/containerd/s/b09ee11a328f29d7e1b1a93d1cb6afb473d3f6bb94aac34a86b9a7d39065a54c";
    let redis = "unix:///run/containerd/s/911113b1235bc0a0e2871a31734820d6e49b0374fa90137e8b040fd42ae643cc";
    assert_eq!(address(CONTAINERD, "default", "new-bundle-0"), new_bundle);
    assert_eq!(address(CONTAINERD, "moby", "redis7"), redis);
    assert_eq!(address("/run//containerd/./x/../containerd.sock/", "moby", "redis7"), redis);
    // The defaults are containerd's, so that both systems give a container the same socket.
    let default = Dunnage::builder().build().unwrap();
    assert_eq!(default.shim_address(&BundleId::new("moby", "redis7")).unwrap(), redis);
}

/// An empty daemon address hashes `ns/id`, and not `/ns/id`:
/// `printf moby/redis7 | sha256sum`.
#[test]
fn an_empty_daemon_address_is_left_out_of_the_path() {
    let relative = "unix:///run/containerd/s/dc39412ee617844b8d4cae8079435b6e1d937ebd21cf6602a226b1804176e72c";
    let absolute = "unix:///run/containerd/s/aa22a226fddb4cba62436480d563c6e8b149d54669e47605bdea9a3214a008db";
    assert_eq!(address("", "moby", "redis7"), relative);
    assert_eq!(address("/", "moby", "redis7"), absolute);
}

/// `legacyShimAddress`.
#[test]
fn legacy_addresses_are_those_of_old_containerd_versions() {
    let dunnage = Dunnage::builder().build().unwrap();
    let address = dunnage.legacy_shim_address(&BundleId::new("moby", "redis7")).unwrap();
    assert_eq!(address, "/containerd-shim/moby/redis7/shim.sock");
}

/// `decideShimAddress`: the file `address`; without one the legacy address, but only on request.
#[test]
fn the_address_on_file_is_the_one_to_connect_to() {
    let scratch = Scratch::new();
    let (dunnage, id) = (scratch.dunnage(), scratch::id("web"));
    dunnage.create(&id, &specs::plain()).unwrap();
    assert_eq!(dunnage.connect_address(&id, false).unwrap_err().kind(), ErrorKind::NoAddress);
    let legacy = dunnage.connect_address(&id, true).unwrap();
    assert_eq!((legacy.address.as_str(), legacy.is_abstract), ("/containerd-shim/default/web/shim.sock", true));

    let todays = dunnage.shim_address(&id).unwrap();
    std::fs::write(scratch.bundle("web").join("address"), &todays).unwrap();
    for allow_legacy in [false, true] {
        let found = dunnage.connect_address(&id, allow_legacy).unwrap();
        assert_eq!((found.address, found.is_abstract), (todays.clone(), false));
    }
}

/// The second generation: an abstract name on file. Any process in the network namespace can hold
/// it (CVE-2020-15257), so it too is used only on request.
#[test]
fn an_abstract_address_on_file_is_used_only_on_request() {
    let scratch = Scratch::new();
    let (dunnage, id) = (scratch.dunnage(), scratch::id("web"));
    dunnage.create(&id, &specs::plain()).unwrap();
    let abstract_name = format!("/containerd-shim/{}.sock", "a".repeat(64));
    std::fs::write(scratch.bundle("web").join("address"), &abstract_name).unwrap();
    assert_eq!(dunnage.connect_address(&id, false).unwrap_err().kind(), ErrorKind::NoAddress);
    let found = dunnage.connect_address(&id, true).unwrap();
    assert_eq!((found.address, found.is_abstract), (abstract_name, true));
}

/// D11: the original falls back to the legacy address, which any process can hold, whatever keeps
/// it from reading the file. Here only a missing file does that.
#[test]
fn d11_an_address_that_cannot_be_read_is_no_reason_to_fall_back() {
    let scratch = Scratch::new();
    let (dunnage, id) = (scratch.dunnage(), scratch::id("web"));
    dunnage.create(&id, &specs::plain()).unwrap();
    let file = scratch.bundle("web").join("address");
    std::fs::create_dir(&file).unwrap();
    assert_eq!(dunnage.connect_address(&id, true).unwrap_err().kind(), ErrorKind::BadRecord, "a directory");
    std::fs::remove_dir(&file).unwrap();
    for content in ["", "unix://relative", "unix:///etc/passwd", "unix:///run/../etc", "/not-a-shim", "\u{1b}[31m"] {
        std::fs::write(&file, content).unwrap();
        let error = dunnage.connect_address(&id, true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRecord, "{content:?}");
    }
}

/// `shimConfig`: the container's own runtime root wins over the node's, but only if it is not
/// empty; whether systemd is used comes with the container alone.
#[test]
fn shim_config_puts_the_containers_options_first() {
    let dunnage = Dunnage::builder().build().unwrap();
    let bundle = dunnage.load_unchecked(&BundleId::new("moby", "redis7"), "/b/redis7", "/w/redis7");
    let config = |node: &str, runc: Option<(&str, bool)>| {
        let runc = runc.map(|(root, systemd_cgroup)| RuncOptions { runtime_root: root.to_owned(), systemd_cgroup });
        let config = dunnage.shim_config(&bundle, &ShimOptions { runtime_root: node.to_owned(), runc }).unwrap();
        assert_eq!(
            (config.path.as_str(), config.work_dir.as_str(), config.namespace.as_str()),
            ("/b/redis7", "/w/redis7", "moby")
        );
        (config.runtime_root, config.systemd_cgroup)
    };
    let of = |root: &str, systemd| (root.to_owned(), systemd);
    assert_eq!(config("", None), of("", false));
    assert_eq!(config("/node", None), of("/node", false));
    assert_eq!(config("/node", Some(("", true))), of("/node", true));
    assert_eq!(config("/node", Some(("/own", false))), of("/own", false));
    assert_eq!(config("", Some(("/own", true))), of("/own", true));
}

/// Every function of the interface refuses what containerd's `identifiers.Validate` refuses.
#[test]
fn addresses_need_valid_identifiers() {
    let dunnage = Dunnage::builder().build().unwrap();
    for bad in [BundleId::new("moby", "../redis7"), BundleId::new("", "redis7")] {
        let kinds = [
            dunnage.shim_address(&bad).unwrap_err().kind(),
            dunnage.legacy_shim_address(&bad).unwrap_err().kind(),
            dunnage.locate(&bad).unwrap_err().kind(),
            dunnage.connect_address(&bad, true).unwrap_err().kind(),
            dunnage.shim_config(&dunnage.load_unchecked(&bad, "/b", "/w"), &ShimOptions::default()).unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::InvalidIdentifier; 5], "{bad}");
    }
}
