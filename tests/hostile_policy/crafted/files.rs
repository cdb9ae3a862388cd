//! Files and directories whose modes, groups, names or kinds are not a bundle's.

use dunnage::ErrorKind;

use super::Attack;

const ROOTFS: &str = "(call $make (local.get $bundle) (call $rootfs))";
const CONFIG: &str = "(call $write (local.get $bundle) (call $config) (local.get $spec) (i32.const 0o600))";

fn modes() -> Vec<Attack> {
    let mut attacks = Vec::new();
    let functions = [
        ("bundle", "(call $set-mode (local.get $bundle) (i32.const MODE) (i32.const 512))"),
        ("rootfs", "(call $create-directory-at (local.get $bundle) (call $rootfs) (i32.const MODE) (i32.const 512))"),
        ("config", "(call $write (local.get $bundle) (call $config) (local.get $spec) (i32.const MODE))"),
    ];
    for (place, code) in functions {
        let most = if place == "config" { "at most 0640 is allowed" } else { "at most 0711 is allowed" };
        for mode in ["04711", "02710", "01711", "0777", "0200711", "037777777777"] {
            let body = code.replace("MODE", &format!("0o{mode}"));
            attacks.push(Attack::create(format!("mode-{mode}-of-{place}"), body, ErrorKind::PolicyBroken, most));
        }
    }
    for mode in ["04600", "0644", "0660", "0700"] {
        let body = format!("(call $write (local.get $bundle) (call $config) (local.get $spec) (i32.const 0o{mode}))");
        attacks.push(Attack::create(
            format!("mode-{mode}-of-config"),
            body,
            ErrorKind::PolicyBroken,
            "at most 0640 is allowed",
        ));
    }
    attacks
}

fn groups() -> Vec<Attack> {
    let set = |group: i64| format!("(call $set-group (local.get $bundle) (i32.const {group}) (i32.const 512))");
    let write = |group: i64| {
        format!(
            "(call $write-spec-at (local.get $bundle) (call $config) (local.get $spec) (i32.const 0o640) (i32.const 1)
               (i32.const {group}) (i32.const 512))"
        )
    };
    vec![
        Attack::create("group-none-of-bundle", set(-1), ErrorKind::PolicyBroken, "4294967295, which is not a group"),
        Attack::create("group-none-of-config", write(-1), ErrorKind::PolicyBroken, "4294967295, which is not a group"),
        Attack::create("group-out-of-range-of-bundle", set(70_000), ErrorKind::GroupNotAllowed, "group 70000"),
        Attack::create("group-out-of-range-of-config", write(70_000), ErrorKind::GroupNotAllowed, "group 70000"),
        Attack::create("group-largest-of-bundle", set(-2), ErrorKind::GroupNotAllowed, "group 4294967294"),
    ]
}

fn shapes() -> Vec<Attack> {
    let more = "it created more than rootfs and config.json";
    let extra =
        |name: &str| Attack::made(format!("extra-{name}"), format!("{ROOTFS} {CONFIG} {EXTRA}"), more).data(name);
    vec![
        extra("address"),
        extra("shim.pid"),
        extra(".hidden"),
        extra("CONFIG.JSON"),
        Attack::made("nothing-but-a-mode", SET_MODE, "did not create rootfs"),
        Attack::made("no-rootfs", CONFIG, "did not create rootfs"),
        Attack::made("no-config", ROOTFS, "did not create config.json"),
        Attack::made("config-of-another-name", format!("{ROOTFS} {WRITE_TEXT}"), "did not create config.json")
            .data("spec.json"),
        Attack::made(
            "config-and-another-name",
            format!("{ROOTFS} {CONFIG} {WRITE_TEXT}"),
            "config.json is not the file",
        )
        .data("config.json.bak"),
        Attack::made("config-readable-for-our-group", format!("{ROOTFS} {READABLE}"), "config.json has mode 0640"),
        Attack::made(
            "config-is-a-directory",
            format!("{ROOTFS} {CONFIG_DIRECTORY}"),
            "config.json has the wrong file type",
        ),
        Attack::made("rootfs-is-a-file", format!("{ROOTFS_FILE} {CONFIG}"), "rootfs has the wrong file type"),
        Attack::made("config-in-rootfs-too", format!("{ROOTFS} {CONFIG} {IN_ROOTFS}"), more).data("config.json"),
        Attack::made("directory-in-rootfs", format!("{ROOTFS} {CONFIG} {DIRECTORY_IN_ROOTFS}"), more).data("bin"),
    ]
}

const EXTRA: &str = "(call $make (local.get $bundle) (call $text))";
const SET_MODE: &str = "(call $set-mode (local.get $bundle) (i32.const 0o700) (i32.const 512)) (call $succeeded)";
const WRITE_TEXT: &str = "(call $write (local.get $bundle) (call $text) (local.get $spec) (i32.const 0o600))";
const READABLE: &str = "(call $write (local.get $bundle) (call $config) (local.get $spec) (i32.const 0o640))";
const CONFIG_DIRECTORY: &str = "(call $make (local.get $bundle) (call $config))";
const ROOTFS_FILE: &str = "(call $write (local.get $bundle) (call $rootfs) (local.get $spec) (i32.const 0o600))";
const IN_ROOTFS: &str = "(local.set $h (call $open (local.get $bundle) (call $rootfs)))
    (call $write (local.get $h) (call $text) (local.get $spec) (i32.const 0o600))";
const DIRECTORY_IN_ROOTFS: &str = "(local.set $h (call $open (local.get $bundle) (call $rootfs)))
    (call $make (local.get $h) (call $text))";

pub(super) fn attacks() -> Vec<Attack> {
    [modes(), groups(), shapes()].concat()
}
