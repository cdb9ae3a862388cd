//! Host calls in any order and with any arguments: the bytes of the spec say which. The fuzz target
//! `host_calls` chooses them.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::mem::ManuallyDrop;

use crate::bindings::dunnage::bundle::filesystem::{Directory, ErrorCode, Spec};

/// Names that have a meaning somewhere, or must have none.
const NAMES: [&str; 16] = [
    "rootfs",
    "config.json",
    "address",
    "a",
    "",
    ".",
    "..",
    "/",
    "../neighbour",
    "rootfs/..",
    "a/b",
    "a\0b",
    ".hidden",
    "/etc/passwd",
    "ä\u{202e}\u{1b}[2J",
    "...",
];

/// How a script ends.
pub(crate) enum End {
    /// With a group that it claims to have given the bundle to.
    Claim(u32),
    /// With a failure, true or not.
    Fail(ErrorCode),
}

/// A script that is run on a directory, with a spec to write if it may write.
pub(crate) struct Script<'a> {
    bytes: core::slice::Iter<'a, u8>,
    bundle: &'a Directory,
    spec: Option<&'a Spec>,
    opened: Vec<Directory>,
    claim: u32,
}

impl<'a> Script<'a> {
    pub(crate) fn new(bytes: &'a [u8], bundle: &'a Directory, spec: Option<&'a Spec>) -> Self {
        Self { bytes: bytes.iter(), bundle, spec, opened: Vec::new(), claim: 0 }
    }

    pub(crate) fn run(mut self) -> End {
        while let Some(operation) = self.bytes.next() {
            // What fails is an ordinary failure, and the next one is tried.
            match self.step(*operation) {
                Ok(()) | Err(None) => {}
                Err(Some(code)) => return End::Fail(code),
            }
        }
        End::Claim(self.claim)
    }

    /// One operation; only one that is told to ends the script.
    fn step(&mut self, operation: u8) -> Result<(), Option<ErrorCode>> {
        let ordinary = |_| None;
        match operation % 14 {
            0 => {
                let group = self.group();
                self.directory().set_group(group).map_err(ordinary)
            }
            1 => {
                let mode = self.mode();
                self.directory().set_mode(mode).map_err(ordinary)
            }
            2 => {
                let (name, mode) = (self.name(), self.mode());
                self.directory().create_directory_at(&name, mode).map_err(ordinary)
            }
            3 => {
                let name = self.name();
                let opened = self.directory().open_directory_at(&name).map_err(ordinary)?;
                self.opened.push(opened);
                Ok(())
            }
            4 => {
                let (name, mode, group) = (self.name(), self.mode(), self.group());
                let Some(spec) = self.spec else { return Ok(()) };
                let group = Some(group).filter(|group| *group != 0);
                self.directory().write_spec_at(&name, spec, mode, group).map_err(ordinary)
            }
            5 => {
                let (name, limit) = (self.name(), u64::from(self.number()));
                self.directory().read_file_at(&name, limit).map(drop).map_err(ordinary)
            }
            6 => {
                drop(self.opened.pop());
                Ok(())
            }
            7 => {
                self.spec.map(|spec| (spec.size(), spec.bytes()));
                Ok(())
            }
            8 => {
                self.claim = self.group();
                Ok(())
            }
            9 => self.whole(),
            10 => {
                self.forge();
                Ok(())
            }
            11 => Err(Some(ErrorCode::Other(self.number()))),
            12 => core::arch::wasm32::unreachable(),
            _ => {
                core::mem::forget(self.opened.pop());
                Ok(())
            }
        }
    }

    /// An ordinary bundle, for the group that is claimed.
    fn whole(&mut self) -> Result<(), Option<ErrorCode>> {
        let ordinary = |_| None;
        let group = Some(self.claim).filter(|group| *group != 0);
        if let Some(group) = group {
            self.bundle.set_group(group).map_err(ordinary)?;
            self.bundle.set_mode(0o710).map_err(ordinary)?;
        }
        self.bundle.create_directory_at("rootfs", 0o711).map_err(ordinary)?;
        let Some(spec) = self.spec else { return Ok(()) };
        let mode = if group.is_some() { 0o640 } else { 0o600 };
        self.bundle.write_spec_at("config.json", spec, mode, group).map_err(ordinary)
    }

    /// Uses a handle that it may not have.
    #[expect(unsafe_code, reason = "safe code cannot forge a handle")]
    fn forge(&mut self) {
        let number = u32::from(self.byte());
        // SAFETY: a handle is a number that the host looks up; memory of this component is not
        // touched through it, and it is never dropped.
        let forged = ManuallyDrop::new(unsafe { Directory::from_handle(number) });
        let _ = forged.set_mode(self.mode());
    }

    fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }

    fn number(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// The bundle, or a directory that was opened.
    fn directory(&mut self) -> &Directory {
        let choice = usize::from(self.byte());
        choice.checked_sub(1).and_then(|index| self.opened.get(index % 4)).unwrap_or(self.bundle)
    }

    fn group(&mut self) -> u32 {
        match self.byte() % 8 {
            0..=2 => 0,
            3 | 4 => 4242,
            5 => u32::MAX,
            _ => self.number(),
        }
    }

    fn mode(&mut self) -> u32 {
        match self.byte() % 8 {
            0 => 0o700,
            1 => 0o710,
            2 => 0o711,
            3 => 0o600,
            4 => 0o640,
            5 => 0,
            _ => self.number(),
        }
    }

    fn name(&mut self) -> String {
        let choice = usize::from(self.byte());
        if let Some(name) = NAMES.get(choice) {
            return (*name).to_string();
        }
        let length = choice - NAMES.len();
        // Most are short, the longest are one too long.
        let bytes: Vec<u8> = if length < 16 {
            (0..length).map(|_| self.byte()).collect()
        } else {
            core::iter::repeat_n(b'x', length + 17).collect()
        };
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
