use alloc::string::{String, ToString};

use super::*;
use crate::testing::{Broken, Recording};

fn address_on_file(content: impl AsRef<[u8]>) -> Result<Option<String>, Fault<Broken>> {
    address(&Recording::default().with_file("address", content))
}

fn pid_on_file(content: impl AsRef<[u8]>) -> Result<Option<u32>, Fault<Broken>> {
    read(&Recording::default().with_file("shim.pid", content)).pid
}

#[test]
fn missing_records_are_none() {
    assert_eq!(read(&Recording::default()), Records { address: Ok(None), pid: Ok(None) });
}

/// containerd #11071: a broken record was in the way of everything else.
#[test]
fn a_broken_record_does_not_hide_the_other() {
    let records = read(&Recording::default().with_unreadable("address", "loop").with_file("shim.pid", "17"));
    assert_eq!(records, Records { address: Err(Fault::Unreadable(Broken("loop"))), pid: Ok(Some(17)) });
    let good = "unix:///run/containerd/s/0a";
    let records = read(&Recording::default().with_unreadable("shim.pid", "access").with_file("address", good));
    let pid = Err(Fault::Unreadable(Broken("access")));
    assert_eq!(records, Records { address: Ok(Some(good.to_string())), pid });
}

#[test]
fn addresses_come_back_as_they_are() {
    let longest = "unix:///".to_string() + &"a".repeat(98);
    assert_eq!(longest.len(), 106);
    for text in [
        "unix:///run/containerd/s/b09ee11a328f29d7e1b1a93d1cb6afb473d3f6bb94aac34a86b9a7d39065a54c",
        "unix:///s",
        "/containerd-shim/moby/redis7/shim.sock",
        "/containerd-shim/911113b1235bc0a0e2871a31734820d6e49b0374fa90137e8b040fd42ae643cc.sock",
        "unix:///run/é",
        &longest,
    ] {
        assert_eq!(address_on_file(text), Ok(Some(text.to_string())));
    }
}

#[test]
fn malformed_addresses() {
    let long = "unix:///".to_string() + &"a".repeat(99);
    for text in [
        "",
        "unix://",
        "unix://run/s",
        "unix:///run//s",
        "unix:///run/./s",
        "unix:///run/../s",
        "unix:///run/s/",
        "unix:///..",
        "unix:///run/s\n",
        "unix:///run/s\0",
        "unix:///run/\u{1b}[2J",
        "unix:///run/\u{85}",
        "UNIX:///run/s",
        "unix:/run/s",
        "tcp://127.0.0.1:1",
        "vsock://1",
        "/run/containerd/s/x",
        "/containerd-shim",
        "containerd-shim/x",
        "@/containerd-shim/x",
        "\0/containerd-shim/x",
        "/containerd-shim/x\n",
        " unix:///run/s",
        &long,
    ] {
        assert!(matches!(address_on_file(text), Err(Fault::Malformed(why)) if !why.is_empty()), "{text:?}");
    }
    assert!(matches!(address_on_file(b"unix:///\xff"), Err(Fault::Malformed(_))));
    assert_eq!(address_on_file([b'a'; 5000]), Err(Fault::Unreadable(Broken("too large"))));
}

#[test]
fn pids() {
    for (text, pid) in [("1", 1), ("17", 17), ("17\n", 17), ("4194304", 4_194_304), ("0017", 17)] {
        assert_eq!(pid_on_file(text), Ok(Some(pid)), "{text:?}");
    }
    for text in [
        "",
        "\n",
        "0",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1\n\n",
        "1\r\n",
        "0x1",
        "1e3",
        "1.0",
        "4194305",
        "4294967297",
        "99999999999999999999999",
        "१",
        "1\0",
        "self",
    ] {
        assert!(matches!(pid_on_file(text), Err(Fault::Malformed(_))), "{text:?}");
    }
    assert!(matches!(pid_on_file([0xff, 0xfe]), Err(Fault::Malformed(_))));
    assert!(matches!(pid_on_file("1".repeat(4096)), Err(Fault::Malformed(_))));
    assert_eq!(pid_on_file("1".repeat(4097)), Err(Fault::Unreadable(Broken("too large"))));
}

#[test]
fn reading_changes_nothing() {
    let directory = Recording::default();
    let _ = read(&directory);
    let expected = ["address", "shim.pid"].map(|name| crate::testing::Operation::ReadFile(name.to_string()));
    assert_eq!(directory.operations(), expected);
}
