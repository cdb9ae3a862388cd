//! Records that outlive a call: `<base>/.dunnage` and the directories below it. Only we may enter
//! them.

use std::sync::Arc;

use dunnage_core::{AtStep, Error, ErrorKind, Result, names};
use dunnage_sys::{Crossing, Directory, Name};
use rustix::io::Errno;

use crate::base_dir::{BaseDir, WRITABLE, check_owner};

const PRIVATE: u32 = 0o700;

impl BaseDir {
    /// The directory `.dunnage/<names…>`, or `None` if it is not there. Changes nothing, so one
    /// that others can write to is refused.
    pub fn records(&self, below: &[Name]) -> Result<Option<Arc<Directory>>> {
        let (mut directory, mut path) = (None::<Arc<Directory>>, self.path().to_owned());
        for name in [names::RECORDS].iter().chain(below) {
            path.push(name.as_path());
            let parent = || directory.take().map_or_else(|| self.open(), |parent| Ok(Some(parent)));
            let found = self.kept_or_open(&path, name, Crossing::Refused, self.step, parent)?;
            let Some((next, found)) = found else { return Ok(None) };
            check_owner(&next, &found, self.step)?;
            if found.mode & WRITABLE != 0 {
                let path = next.path();
                let message =
                    format!("others can write to {0} (mode {1:04o}); try: chmod 0700 {0}", path.display(), found.mode);
                return Err(Error::new(ErrorKind::Untrusted, self.step, message).at(path));
            }
            directory = Some(next);
        }
        Ok(directory)
    }

    /// The directory `.dunnage/<names…>`, made if it is missing, narrowed if it is too open.
    pub fn records_or_make(&self, below: &[Name]) -> Result<Arc<Directory>> {
        let mut directory = self.open_or_make(&mut Vec::new())?;
        for name in [names::RECORDS].iter().chain(below) {
            let next = self.open_or_make_private(&directory, name)?;
            let found = next.metadata().at_step(self.step)?;
            check_owner(&next, &found, self.step)?;
            if found.mode != PRIVATE {
                next.set_mode(PRIVATE).at_step(self.step)?;
            }
            directory = Arc::new(next);
        }
        Ok(directory)
    }

    fn open_or_make_private(&self, parent: &Directory, name: &Name) -> Result<Directory> {
        loop {
            match parent.open_directory(name, Crossing::Refused) {
                Err(failure) if failure.errno() == Errno::NOENT => {}
                result => return result.at_step(self.step),
            }
            match parent.create_directory(name, PRIVATE) {
                // Another process was faster.
                Err(failure) if failure.errno() == Errno::EXIST => {}
                result => return result.at_step(self.step),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use dunnage_core::Step;

    fn base(path: std::path::PathBuf) -> BaseDir {
        BaseDir::new(path, Step::OpenState)
    }

    #[test]
    fn records_are_made_private_and_only_on_demand() {
        let scratch = tempfile::tempdir().unwrap();
        let state = base(scratch.path().join("state"));
        let below = [Name::new("shims").unwrap(), Name::new("default").unwrap()];
        assert!(state.records(&below).unwrap().is_none());
        assert!(!scratch.path().join("state").exists());
        let made = state.records_or_make(&below).unwrap();
        assert_eq!(made.path(), scratch.path().join("state/.dunnage/shims/default"));
        for path in ["state/.dunnage", "state/.dunnage/shims", "state/.dunnage/shims/default"] {
            let mode = scratch.path().join(path).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o700, "{path}");
        }
        let found = state.records(&below).unwrap().unwrap();
        assert_eq!(found.identity(), made.identity());
    }

    #[test]
    fn records_that_others_can_write_to_are_refused_or_narrowed() {
        let scratch = tempfile::tempdir().unwrap();
        let state = base(scratch.path().join("state"));
        state.records_or_make(&[]).unwrap();
        let records = scratch.path().join("state/.dunnage");
        std::fs::set_permissions(&records, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(state.records(&[]).unwrap_err().kind(), ErrorKind::Untrusted);
        state.records_or_make(&[]).unwrap();
        assert_eq!(records.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
    }

    #[test]
    fn links_are_not_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let state = base(scratch.path().join("state"));
        state.open_or_make(&mut Vec::new()).unwrap();
        symlink("/tmp", scratch.path().join("state/.dunnage")).unwrap();
        assert!(state.records(&[]).is_err());
        assert!(state.records_or_make(&[]).is_err());
    }
}
