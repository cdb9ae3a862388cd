//! The interface `bundles`, in as many ways as there are ids.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::Policy;
use crate::bindings::dunnage::bundle::filesystem::{Directory, ErrorCode, Spec};
use crate::bindings::exports::dunnage::bundle::bundles::{
    BundleId, CreateError, Created, Deletion, Failure, Guest, IdentifierError, ShimRecords, SpecError, SpecFault, Step,
    TaskIo,
};
use crate::script::{End, Script};

/// The group that this policy gives bundles to where it decides otherwise.
const GROUP: u32 = 4242;

/// How often this instance was called: always once, if every call has an instance of its own.
static CALLS: AtomicU32 = AtomicU32::new(0);

impl Guest for Policy {
    /// Accepts anything, so that the host's own check is what is left.
    fn check_identifiers(_: BundleId) -> Result<(), IdentifierError> {
        Ok(())
    }

    fn remapped_gid(spec: &Spec) -> Result<u32, SpecError> {
        match spec.size() {
            // A spec of that many bytes asks for the invalid group.
            7 => Ok(u32::MAX),
            _ => Ok(GROUP),
        }
    }

    fn task_settings(spec: &Spec) -> Result<TaskIo, SpecError> {
        let (io_uid, io_gid) = match spec.size() {
            7 => (u32::MAX, 0),
            8 => (0, u32::MAX),
            _ => (GROUP, GROUP),
        };
        Ok(TaskIo { terminal: true, io_uid, io_gid })
    }

    fn create(bundle: &Directory, id: BundleId, spec: &Spec) -> Result<Created, CreateError> {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        match id.id.as_str() {
            "mode-0700" => give_away(bundle, spec, 0o700, "config.json"),
            "other-group" => give_away(bundle, spec, 0o710, "config.json"),
            "wrong-name" => give_away(bundle, spec, 0o710, "spec.json"),
            "wide-mode" => give_away(bundle, spec, 0o777, "config.json"),
            "setuid-mode" => give_away(bundle, spec, 0o4710, "config.json"),
            "max-group" => Ok(bundle.set_group(u32::MAX)).and_then(|_| finish(bundle, spec, 0)),
            "answers-max-group" => finish(bundle, spec, u32::MAX),
            "claims-other-group" => finish(bundle, spec, GROUP),
            "hides-group" => give_away(bundle, spec, 0o710, "config.json").map(|_| Created { remapped_gid: 0 }),
            "no-rootfs" => write(bundle, spec, "config.json", 0o600).map(|()| Created { remapped_gid: 0 }),
            "no-config" => rootfs(bundle).map(|()| Created { remapped_gid: 0 }),
            "config-wide" => rootfs(bundle)
                .and_then(|()| write(bundle, spec, "config.json", 0o644))
                .map(|()| Created { remapped_gid: 0 }),
            "config-group-readable" => rootfs(bundle)
                .and_then(|()| write(bundle, spec, "config.json", 0o640))
                .map(|()| Created { remapped_gid: 0 }),
            "config-in-rootfs" => config_in_rootfs(bundle, spec),
            "config-is-directory" => {
                rootfs(bundle).and_then(|()| directory(bundle, "config.json")).map(|()| Created { remapped_gid: 0 })
            }
            "extra" => directory(bundle, "extra").and_then(|()| finish(bundle, spec, 0)),
            "extra-hidden" => directory(bundle, ".extra").and_then(|()| finish(bundle, spec, 0)),
            "name-dot-dot" => directory(bundle, "..").and_then(|()| finish(bundle, spec, 0)),
            "name-dot" => directory(bundle, ".").and_then(|()| finish(bundle, spec, 0)),
            "name-slash" => directory(bundle, "rootfs/../../escape").and_then(|()| finish(bundle, spec, 0)),
            "name-nul" => directory(bundle, "a\0b").and_then(|()| finish(bundle, spec, 0)),
            "name-empty" => directory(bundle, "").and_then(|()| finish(bundle, spec, 0)),
            "name-endless" => directory(bundle, &"x".repeat(1 << 20)).and_then(|()| finish(bundle, spec, 0)),
            "name-escape-sequences" => directory(bundle, "/\u{1b}[2J").and_then(|()| finish(bundle, spec, 0)),
            "name-absolute" => directory(bundle, "/tmp/escape").and_then(|()| finish(bundle, spec, 0)),
            "nothing" => Ok(Created { remapped_gid: 0 }),
            "fails-late" => finish(bundle, spec, 0).and(Err(failed(Step::WriteSpec, ErrorCode::InsufficientSpace))),
            "counter" => Err(refuse(format!("call {calls} of this instance"))),
            "escape-sequences" => Err(refuse("\u{1b}[2J\u{7}hidden\r\n".to_string())),
            "endless-message" => Err(refuse("x".repeat(1 << 20))),
            "script" => script(&spec.bytes(), bundle, spec),
            "forged-handle" => script(&[10, 99], bundle, spec),
            "handle-of-another-kind" => script(&[10, 2], bundle, spec),
            _ => exhaust(bundle, &id.id, spec),
        }
    }

    fn delete(bundle: &Directory, id: BundleId) -> Result<Deletion, IdentifierError> {
        let address = match id.id.as_str() {
            "delete-trap" => core::arch::wasm32::unreachable(),
            "delete-writes" => {
                // Lent for reading: all of these must fail.
                let refused = bundle.set_mode(0o700).is_err()
                    && bundle.set_group(GROUP).is_err()
                    && bundle.create_directory_at("new", 0o700).is_err();
                if refused { None } else { core::arch::wasm32::unreachable() }
            }
            "delete-foreign-socket" => Some("unix:///etc/passwd".to_string()),
            "script" => {
                // The script that made the bundle, once more: now it may only read.
                let bytes = bundle.read_file_at("config.json", 1 << 16).unwrap_or_default();
                Script::new(&bytes, bundle, None).run();
                None
            }
            "delete-endless-address" => Some("x".repeat(1 << 20)),
            _ => None,
        };
        Ok(Deletion { shim: ShimRecords { address: Ok(address), pid: Ok(None) } })
    }
}

fn script(bytes: &[u8], bundle: &Directory, spec: &Spec) -> Result<Created, CreateError> {
    match Script::new(bytes, bundle, Some(spec)).run() {
        End::Claim(remapped_gid) => Ok(Created { remapped_gid }),
        End::Fail(code) => Err(failed(Step::WriteSpec, code)),
    }
}

/// What uses up a resource, or traps. Everything else is an ordinary bundle.
fn exhaust(bundle: &Directory, how: &str, spec: &Spec) -> Result<Created, CreateError> {
    match how {
        "trap" => core::arch::wasm32::unreachable(),
        "trap-late" => {
            finish(bundle, spec, 0)?;
            core::arch::wasm32::unreachable()
        }
        "spin" => loop {
            core::hint::spin_loop();
        },
        "spin-late" => {
            finish(bundle, spec, 0)?;
            loop {
                core::hint::spin_loop();
            }
        }
        "recurse" => Err(refuse(recurse(0).to_string())),
        "memory" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(alloc::vec![1_u8; 1 << 20]);
            }
        }
        "steps" => loop {
            spec.size();
        },
        "bytes" => loop {
            spec.bytes();
        },
        "handles" => {
            rootfs(bundle)?;
            let mut held = Vec::new();
            loop {
                held.push(bundle.open_directory_at("rootfs"));
            }
        }
        _ => finish(bundle, spec, 0),
    }
}

#[expect(unconditional_recursion, reason = "that is the point")]
fn recurse(depth: u64) -> u64 {
    core::hint::black_box(recurse(core::hint::black_box(depth + 1)) + 1)
}

fn give_away(bundle: &Directory, spec: &Spec, mode: u32, config: &str) -> Result<Created, CreateError> {
    bundle.set_group(GROUP).map_err(|code| failed(Step::SetGroup, code))?;
    bundle.set_mode(mode).map_err(|code| failed(Step::SetMode, code))?;
    rootfs(bundle)?;
    bundle.write_spec_at(config, spec, 0o640, Some(GROUP)).map_err(|code| failed(Step::WriteSpec, code))?;
    Ok(Created { remapped_gid: GROUP })
}

fn finish(bundle: &Directory, spec: &Spec, remapped_gid: u32) -> Result<Created, CreateError> {
    rootfs(bundle)?;
    write(bundle, spec, "config.json", 0o600)?;
    Ok(Created { remapped_gid })
}

fn config_in_rootfs(bundle: &Directory, spec: &Spec) -> Result<Created, CreateError> {
    rootfs(bundle)?;
    let rootfs = bundle.open_directory_at("rootfs").map_err(|code| failed(Step::CreateRootfs, code))?;
    write(&rootfs, spec, "config.json", 0o600)?;
    finish_config(bundle, spec)
}

fn finish_config(bundle: &Directory, spec: &Spec) -> Result<Created, CreateError> {
    write(bundle, spec, "config.json", 0o600)?;
    Ok(Created { remapped_gid: 0 })
}

fn rootfs(bundle: &Directory) -> Result<(), CreateError> {
    directory(bundle, "rootfs")
}

fn directory(bundle: &Directory, name: &str) -> Result<(), CreateError> {
    bundle.create_directory_at(name, 0o711).map_err(|code| failed(Step::CreateRootfs, code))
}

fn write(bundle: &Directory, spec: &Spec, name: &str, mode: u32) -> Result<(), CreateError> {
    bundle.write_spec_at(name, spec, mode, None).map_err(|code| failed(Step::WriteSpec, code))
}

fn failed(step: Step, code: ErrorCode) -> CreateError {
    CreateError::Filesystem(Failure { step, code })
}

fn refuse(message: String) -> CreateError {
    CreateError::Spec(SpecError { fault: SpecFault::Syntax, place: String::new(), line: 0, column: 0, message })
}
