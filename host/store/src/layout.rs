//! Where bundles, work directories and sockets lie.

use std::path::{Path, PathBuf};

use dunnage_core::{Bundle, BundleId, Error, ErrorKind, Result, Step};
use dunnage_sys::Name;

use crate::base_dir::BaseDir;
use crate::seen_pairs::SeenPairs;

/// The two directories of a namespace, or one of them for all namespaces.
#[derive(Debug)]
pub struct Layout {
    /// The state directory.
    pub state: BaseDir,
    /// The root directory.
    pub root: BaseDir,
    pub(crate) paired: SeenPairs,
}

impl Layout {
    /// The directories at these paths.
    pub fn new(state: PathBuf, root: PathBuf) -> Self {
        Self {
            state: BaseDir::new(state, Step::OpenState),
            root: BaseDir::new(root, Step::OpenRoot),
            paired: SeenPairs::default(),
        }
    }

    /// Where a bundle and its work directory lie. Only text.
    pub fn bundle(&self, id: &BundleId) -> Bundle {
        bundle_below(self.state.path(), self.root.path(), id)
    }
}

/// The same below a state and a root directory.
#[must_use]
pub fn bundle_below(state: &Path, root: &Path, id: &BundleId) -> Bundle {
    let below = |base: &Path| base.join(id.namespace()).join(id.id());
    Bundle::at(id.clone(), below(state), below(root))
}

/// The name of a socket in the socket directory; `None` if its address leads elsewhere.
pub fn socket_name(socket_root: &Path, address: &str) -> Option<Name> {
    // The name comes from the address, the place from the operator: the two must agree.
    let socket = Path::new(address.strip_prefix("unix://")?);
    if socket.parent()? != socket_root {
        return None;
    }
    Name::new(socket.file_name()?.as_encoded_bytes()).ok()
}

/// The host's own check of the names: a policy that lets others through has failed.
pub fn names_of(id: &BundleId) -> Result<(Name, Name)> {
    let name = |text: &str| match Name::new(text) {
        Ok(name) if !name.is_hidden() => Ok(name),
        Ok(_) => Err("it starts with a dot".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let checked = |part: &str, text: &str| {
        name(text).map_err(|why| {
            let message = format!(
                "the policy broke a rule: it accepted the {part} {text:?}, which is not the name of a directory: {why}"
            );
            Error::new(ErrorKind::PolicyBroken, Step::Decide, message)
        })
    };
    Ok((checked("namespace", id.namespace())?, checked("id", id.id())?))
}
