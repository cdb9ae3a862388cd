//! Further processes in a container.

use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;

use dunnage_shim_proto::shim::ExecProcessRequest;
use dunnage_sys::{memory_file, pid_file};
use serde_json::{Map, Value};
use tokio::time::Instant;
use ttrpc::Code;

use super::Shared;
use super::answer::{RpcResult, failed, invalid, is_identifier, lock, not_now, refuse};
use super::container::{Container, Exec, PUBLISH_TIMEOUT};
use super::create::launch;
use super::exit::Exit;
use super::process::{Phase, Process};
use super::stdio::Stdio;

/// What is answered for an exec that could not be started.
const NOT_STARTED: u32 = 255;

impl Shared {
    /// Takes note of a further process. It is started later.
    pub(super) fn exec(&self, request: ExecProcessRequest) -> RpcResult<()> {
        let container = self.required()?;
        if !is_identifier(&request.id) {
            return Err(invalid(format_args!("{:?} is not a valid id", request.id)));
        }
        let exists = || refuse(Code::ALREADY_EXISTS, format_args!("process {:?} already exists", request.id));
        if container.is_init(&request.id) {
            return Err(exists());
        }
        let spec = request.spec.as_ref().filter(|spec| !spec.value.is_empty());
        let spec = spec.ok_or_else(|| invalid("the spec of the process is missing"))?;
        let spec = with_terminal(&spec.value, request.terminal)?;
        let stdio =
            Stdio { stdin: request.stdin, stdout: request.stdout, stderr: request.stderr, terminal: request.terminal };
        let mut execs = lock(&container.execs);
        if execs.contains_key(&request.id) {
            return Err(exists());
        }
        let process = Arc::new(Process::new(&request.id, stdio));
        execs.insert(request.id, Arc::new(Exec { process, spec }));
        Ok(())
    }

    /// Starts init or an exec.
    pub(super) async fn start(&self, id: &str) -> RpcResult<u32> {
        let _changing = self.changing.lock().await;
        let process = self.process(id)?;
        let container = self.required()?;
        process.require(Phase::Created, "start")?;
        if container.is_init(id) {
            container.runc.run(["start", &container.id]).await?;
            process.set_phase(Phase::Running);
        } else {
            self.start_exec(&container, &*container.exec(id)?).await?;
        }
        Ok(process.pid())
    }

    async fn start_exec(&self, container: &Arc<Container>, exec: &Exec) -> RpcResult<()> {
        let process = &exec.process;
        let _starting = self.children.command();
        let spec = memory_file(&exec.spec).map_err(failed)?;
        let spec_path = format!("/proc/{}/fd/{}", std::process::id(), spec.as_raw_fd());
        let arguments = ["exec", "--process", &spec_path, "--detach"].map(str::to_owned).to_vec();
        let pid_file = pid_file_of(container, &process.id);
        let work_dir = &self.config.work_dir;
        let launched =
            launch(&container.runc, arguments, &process.stdio, container.owner, work_dir, &pid_file, &container.id);
        let (pid, handle, io) = match launched.await {
            Ok(launched) => launched,
            Err(error) => {
                process.end(Exit::now(NOT_STARTED));
                return Err(error);
            }
        };
        let handle = Arc::new(handle);
        process.adopt(Phase::Running, pid, Arc::clone(&handle), io);
        container.watch(process, handle);
        Ok(())
    }

    /// Forgets an exec that has ended or was never started.
    pub(super) async fn delete_process(&self, id: &str) -> RpcResult<(u32, Exit)> {
        let _changing = self.changing.lock().await;
        let process = self.process(id)?;
        let container = self.required()?;
        if container.is_init(id) {
            return Err(invalid("cannot delete the init process with DeleteProcess"));
        }
        match process.phase() {
            Phase::Running | Phase::Paused => return Err(not_now("cannot delete a running process")),
            Phase::Created => process.end(Exit::now(0)),
            Phase::Stopped => {}
        }
        let exit = process.wait().await?;
        process.settle(Instant::now() + PUBLISH_TIMEOUT).await;
        lock(&container.execs).remove(id);
        // The exit status counts more than a file that the bundle takes with it.
        if let Err(error) = pid_file::remove(&pid_file_of(&container, id)) {
            tracing::warn!(%error, id, "cannot remove the pid file of an exec");
        }
        Ok((process.pid(), exit))
    }
}

/// Where the runtime writes the process id of an exec. No id starts with a dot, so `.init.pid` is free.
fn pid_file_of(container: &Container, id: &str) -> PathBuf {
    container.bundle.join(if id == "init" { ".init.pid".to_owned() } else { format!("{id}.pid") })
}

/// The spec of a process, with the terminal that the request asks for. The runtime's decoder takes
/// a key in any case, so that every spelling must go.
fn with_terminal(spec: &[u8], terminal: bool) -> RpcResult<Vec<u8>> {
    let malformed = |error: serde_json::Error| invalid(format_args!("malformed spec of the process: {error}"));
    let mut spec: Map<String, Value> = serde_json::from_slice(spec).map_err(malformed)?;
    spec.retain(|key, _| !key.eq_ignore_ascii_case("terminal"));
    spec.insert("terminal".to_owned(), Value::Bool(terminal));
    serde_json::to_vec(&spec).map_err(malformed)
}
