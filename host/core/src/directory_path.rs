//! Paths of directories, as an operator names them.

use std::path::Path;

use crate::{Error, ErrorKind, Result, Step};

/// Refuses a path that cannot be that of one of our directories.
pub fn check_directory(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() || path.to_str().is_none_or(|text| text.contains('\0')) {
        let message = format!("{path:?} is not the path of a directory (it must be UTF-8, since policies read it)");
        return Err(Error::new(ErrorKind::InvalidConfig, Step::Configure, message));
    }
    Ok(())
}
