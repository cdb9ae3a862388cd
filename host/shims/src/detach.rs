//! Processes that outlive the command that starts them.

use std::io;
use std::process::{Command, Stdio};

use dunnage_sys::{Apart, hand_over};

/// Prepares a process to keep nothing of its caller: no descriptors and standard streams, no
/// working directory, no process group and so no Ctrl-C.
///
/// # Errors
///
/// If the command cannot be prepared.
pub fn detach(command: &mut Command) -> io::Result<()> {
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    hand_over(command, &[], Apart::Group)
}
