//! Creating a container, or leaving nothing behind.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dunnage_shim_proto::runc::CreateOptions;
use dunnage_shim_proto::shim::CreateTaskRequest;
use dunnage_sys::streams::Owner;
use dunnage_sys::{is_first_of_pid_namespace, path_identity, pid_file, send_signal};
use protobuf::Message;
use protobuf::well_known_types::any::Any;
use ttrpc::Code;

use super::answer::{RpcResult, blocking, failed, invalid, is_identifier, lock, message_of, refuse};
use super::container::Container;
use super::process::{Io, Phase, Process};
use super::runc::{Runc, Streams};
use super::stdio::Stdio;
use super::terminal::{ConsoleSocket, Terminal};
use super::{Shared, exit, rootfs};

/// The signal that cannot be ignored.
const SIGKILL: u32 = 9;
/// How long a container that was undone may take to end.
const UNDO_TIMEOUT: Duration = Duration::from_secs(5);

impl Shared {
    /// Creates the container. What fails is undone.
    pub(super) async fn create(&self, request: CreateTaskRequest) -> RpcResult<u32> {
        let _changing = self.changing.lock().await;
        self.check(&request)?;
        let options = options_of(request.options.as_ref())?;
        let bundle = self.config.bundle.clone();
        let mounts = request.rootfs.clone();
        let mounted = !mounts.is_empty();
        blocking(move || rootfs::mount_all(&bundle, &mounts)).await?;
        match self.create_mounted(&request, &options, mounted).await {
            Ok(pid) => Ok(pid),
            Err(error) if mounted => {
                let bundle = self.config.bundle.clone();
                Err(also(error, blocking(move || rootfs::unmount_all(&bundle)).await))
            }
            Err(error) => Err(error),
        }
    }

    fn check(&self, request: &CreateTaskRequest) -> RpcResult<()> {
        if !is_identifier(&request.id) {
            return Err(invalid(format_args!("{:?} is not a valid id", request.id)));
        }
        if self.container().is_some() {
            return Err(refuse(Code::ALREADY_EXISTS, "this shim already has a container"));
        }
        // The directories are compared, not the paths: the client may know it by a link.
        let (asked, ours) = (path_identity(Path::new(&request.bundle)), path_identity(&self.config.bundle));
        if asked.is_none() || asked != ours {
            return Err(invalid(format_args!("this shim does not serve the bundle {:?}", request.bundle)));
        }
        if request.checkpoint.is_empty() {
            Ok(())
        } else {
            Err(refuse(Code::UNIMPLEMENTED, "this shim cannot restore checkpoints"))
        }
    }

    async fn create_mounted(
        &self,
        request: &CreateTaskRequest,
        options: &CreateOptions,
        mounted: bool,
    ) -> RpcResult<u32> {
        let runc = Runc::new(&self.config, &request.runtime, &self.children);
        // Until the container's init is known as one that is waited for.
        let _starting = self.children.command();
        // Undoing must never reach a container that was there before.
        if runc.knows(&request.id) {
            return Err(refuse(
                Code::ALREADY_EXISTS,
                format_args!("the runtime already has a container {:?}", request.id),
            ));
        }
        let owner = Some((options.io_uid, options.io_gid)).filter(|owner| *owner != (0, 0));
        let stdio = Stdio {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
        };
        let init_pid = self.config.bundle.join("init.pid");
        let mut arguments = vec!["create".to_owned(), "--bundle".to_owned(), self.config.bundle.display().to_string()];
        arguments.extend(options.no_pivot_root.then(|| "--no-pivot".to_owned()));
        arguments.extend(options.no_new_keyring.then(|| "--no-new-keyring".to_owned()));
        let started = launch(&runc, arguments, &stdio, owner, &self.config.work_dir, &init_pid, &request.id).await;
        let (pid, handle, io) = match started {
            Ok(launched) => launched,
            Err(error) => return Err(undo(&runc, &request.id, &init_pid, error).await),
        };
        let init = Arc::new(Process::new(&request.id, stdio));
        let handle = Arc::new(handle);
        init.adopt(Phase::Created, pid, Arc::clone(&handle), io);
        let container = Arc::new(Container {
            id: request.id.clone(),
            namespace: self.config.namespace.clone(),
            bundle: self.config.bundle.clone(),
            runc,
            init,
            execs: Mutex::new(HashMap::new()),
            owner,
            mounted,
            own_pids: is_first_of_pid_namespace(pid),
            held: Mutex::new(Vec::new()),
            publisher: Arc::clone(&self.config.publisher),
            children: Arc::clone(&self.children),
        });
        container.watch(&container.init, handle);
        *lock(&self.container) = Some(container);
        Ok(pid)
    }
}

/// Makes the runtime start a process with its standard streams, and takes the process over. The
/// last argument is the container's id.
pub(super) async fn launch(
    runc: &Runc,
    mut arguments: Vec<String>,
    stdio: &Stdio,
    owner: Owner,
    work_dir: &Path,
    pid_file_path: &Path,
    id: &str,
) -> RpcResult<(u32, OwnedFd, Io)> {
    pid_file::remove(pid_file_path).map_err(failed)?;
    arguments.extend(["--pid-file".to_owned(), pid_file_path.display().to_string()]);
    if !stdio.terminal {
        let (streams, held_ends) = stdio.open(owner)?;
        arguments.push(id.to_owned());
        runc.run_with(&arguments, streams).await?;
        let (pid, handle) = started(pid_file_path)?;
        return Ok((pid, handle, Io { held_ends, terminal: None }));
    }
    let (stdin, stdout, held_ends) = stdio.open_for_terminal()?;
    let console = ConsoleSocket::listen(work_dir)?;
    arguments.extend(["--console-socket".to_owned(), console.path(), id.to_owned()]);
    runc.run_with(&arguments, Streams::default()).await?;
    let (pid, handle) = started(pid_file_path)?;
    match console.receive().await.and_then(|master| Terminal::start(master, stdin, stdout)) {
        Ok(terminal) => Ok((pid, handle, Io { held_ends, terminal: Some(terminal) })),
        Err(error) => {
            // No client would ever learn of it.
            if let Err(errno) = send_signal(&handle, SIGKILL) {
                tracing::warn!(%errno, pid, "cannot kill a process without its terminal");
            }
            tokio::spawn(async move { exit::wait(handle).await });
            Err(error)
        }
    }
}

/// The process that the runtime has started. It is a child of ours, so its number stays its own
/// until we reap it.
pub(super) fn started(pid_file_path: &Path) -> RpcResult<(u32, OwnedFd)> {
    let pid = pid_file::read(pid_file_path).map_err(failed)?;
    Ok((pid, exit::open(pid)?))
}

/// Removes what the runtime has left of a container that failed.
async fn undo(runc: &Runc, id: &str, pid_file_path: &Path, error: ttrpc::Error) -> ttrpc::Error {
    let init = started(pid_file_path).ok();
    let deleted = runc.delete_force(id).await;
    if let Some((_, init)) = init
        && tokio::time::timeout(UNDO_TIMEOUT, exit::wait(&init)).await.is_err()
    {
        return also(error, Err(failed("the container did not exit")));
    }
    also(error, deleted)
}

/// An error, and what went wrong when it was cleaned up after.
fn also(error: ttrpc::Error, cleaned: RpcResult<()>) -> ttrpc::Error {
    match cleaned {
        Ok(()) => error,
        Err(left) => failed(format_args!("{}; {}", message_of(&error), message_of(&left))),
    }
}

fn options_of(options: Option<&Any>) -> RpcResult<CreateOptions> {
    let Some(options) = options.filter(|options| !options.type_url.is_empty()) else {
        return Ok(CreateOptions::default());
    };
    if options.type_url.rsplit('/').next() != Some("containerd.linux.runc.CreateOptions") {
        return Err(invalid(format_args!("options of the type {:?} are not supported", options.type_url)));
    }
    CreateOptions::parse_from_bytes(&options.value).map_err(|error| invalid(format_args!("malformed options: {error}")))
}
