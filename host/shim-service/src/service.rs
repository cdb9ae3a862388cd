//! The sixteen methods of the service.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use dunnage_shim_proto::runc::{CheckpointOptions, ProcessDetails};
use dunnage_shim_proto::shim::{
    CheckpointTaskRequest, CloseIORequest, CreateTaskRequest, CreateTaskResponse, DeleteProcessRequest, DeleteResponse,
    ExecProcessRequest, KillRequest, ListPidsRequest, ListPidsResponse, ResizePtyRequest, ShimInfoResponse,
    StartRequest, StartResponse, StateRequest, StateResponse, UpdateTaskRequest, WaitRequest, WaitResponse,
};
use dunnage_shim_proto::shim_ttrpc::Shim;
use dunnage_shim_proto::task::ProcessInfo;
use dunnage_sys::memory_file;
use protobuf::Message;
use protobuf::well_known_types::any::Any;
use protobuf::well_known_types::empty::Empty;
use ttrpc::Code;
use ttrpc::r#async::TtrpcContext;

use super::answer::{RpcResult, failed, invalid, message_of, refuse, to_its_end};
use super::exit::Exit;
use super::process::Phase;
use super::runc::Streams;
use super::{LocalShim, Shared};

impl LocalShim {
    fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }
}

#[async_trait]
impl Shim for LocalShim {
    async fn state(&self, _: &TtrpcContext, request: StateRequest) -> RpcResult<StateResponse> {
        let process = self.shared.process(&request.id)?;
        Ok(process.describe(&self.shared.config.bundle.display().to_string()))
    }

    async fn create(&self, _: &TtrpcContext, request: CreateTaskRequest) -> RpcResult<CreateTaskResponse> {
        let shared = self.shared();
        let pid = to_its_end(async move { shared.create(request).await }).await?;
        Ok(CreateTaskResponse { pid, ..CreateTaskResponse::default() })
    }

    async fn start(&self, _: &TtrpcContext, request: StartRequest) -> RpcResult<StartResponse> {
        let (shared, id) = (self.shared(), request.id.clone());
        let pid = to_its_end(async move { shared.start(&id).await }).await?;
        Ok(StartResponse { id: request.id, pid, ..StartResponse::default() })
    }

    async fn delete(&self, _: &TtrpcContext, _: Empty) -> RpcResult<DeleteResponse> {
        let shared = self.shared();
        to_its_end(async move { shared.delete().await }).await.map(deleted)
    }

    async fn delete_process(&self, _: &TtrpcContext, request: DeleteProcessRequest) -> RpcResult<DeleteResponse> {
        let shared = self.shared();
        to_its_end(async move { shared.delete_process(&request.id).await }).await.map(deleted)
    }

    async fn list_pids(&self, _: &TtrpcContext, _: ListPidsRequest) -> RpcResult<ListPidsResponse> {
        let container = self.shared.required()?;
        let pids = container.pids().await?;
        let execs = container.exec_pids();
        let describe = |pid| {
            let info = execs.get(&pid).map(|exec_id| {
                let details = ProcessDetails { exec_id: exec_id.clone(), ..ProcessDetails::default() };
                let value = details.write_to_bytes().map_err(failed)?;
                RpcResult::Ok(Any {
                    type_url: "containerd.linux.runc.ProcessDetails".to_owned(),
                    value,
                    ..Any::default()
                })
            });
            Ok(ProcessInfo { pid, info: info.transpose()?.into(), ..ProcessInfo::default() })
        };
        let processes = pids.into_iter().map(describe).collect::<RpcResult<_>>()?;
        Ok(ListPidsResponse { processes, ..ListPidsResponse::default() })
    }

    async fn pause(&self, _: &TtrpcContext, _: Empty) -> RpcResult<Empty> {
        let shared = self.shared();
        to_its_end(async move { shared.freeze("pause", Phase::Running, Phase::Paused).await }).await
    }

    async fn resume(&self, _: &TtrpcContext, _: Empty) -> RpcResult<Empty> {
        let shared = self.shared();
        to_its_end(async move { shared.freeze("resume", Phase::Paused, Phase::Running).await }).await
    }

    async fn checkpoint(&self, _: &TtrpcContext, request: CheckpointTaskRequest) -> RpcResult<Empty> {
        let shared = self.shared();
        to_its_end(async move { shared.checkpoint(request).await }).await
    }

    async fn kill(&self, _: &TtrpcContext, request: KillRequest) -> RpcResult<Empty> {
        if !request.all {
            let process = if request.id.is_empty() {
                Arc::clone(&self.shared.required()?.init)
            } else {
                self.shared.process(&request.id)?
            };
            process.signal(request.signal)?;
            if request.signal == SIGKILL && process.phase() == Phase::Paused {
                let shared = self.shared();
                to_its_end(async move { shared.thaw_killed().await }).await?;
            }
            return Ok(Empty::new());
        }
        let container = self.shared.required()?;
        to_its_end(async move { container.kill_all(request.signal).await }).await.map(|()| Empty::new())
    }

    async fn exec(&self, _: &TtrpcContext, request: ExecProcessRequest) -> RpcResult<Empty> {
        self.shared.exec(request).map(|()| Empty::new())
    }

    async fn resize_pty(&self, _: &TtrpcContext, request: ResizePtyRequest) -> RpcResult<Empty> {
        let process = self.shared.process(&request.id)?;
        process.resize(request.width, request.height).map(|()| Empty::new())
    }

    async fn close_io(&self, _: &TtrpcContext, request: CloseIORequest) -> RpcResult<Empty> {
        let process = self.shared.process(&request.id)?;
        if request.stdin {
            process.close_stdin();
        }
        Ok(Empty::new())
    }

    async fn shim_info(&self, _: &TtrpcContext, _: Empty) -> RpcResult<ShimInfoResponse> {
        Ok(ShimInfoResponse { shim_pid: std::process::id(), ..ShimInfoResponse::default() })
    }

    async fn update(&self, _: &TtrpcContext, request: UpdateTaskRequest) -> RpcResult<Empty> {
        let shared = self.shared();
        to_its_end(async move { shared.update(request).await }).await
    }

    async fn wait(&self, _: &TtrpcContext, request: WaitRequest) -> RpcResult<WaitResponse> {
        let process = self.shared.process(&request.id)?;
        let Exit { status, at } = process.wait().await?;
        Ok(WaitResponse { exit_status: status, exited_at: Some(at).into(), ..WaitResponse::default() })
    }
}

fn deleted((pid, exit): (u32, Exit)) -> DeleteResponse {
    DeleteResponse { pid, exit_status: exit.status, exited_at: Some(exit.at).into(), ..DeleteResponse::default() }
}

/// The signal that cannot be ignored.
const SIGKILL: u32 = 9;

impl Shared {
    async fn freeze(&self, verb: &str, from: Phase, to: Phase) -> RpcResult<Empty> {
        let _changing = self.changing.lock().await;
        let container = self.required()?;
        container.init.require(from, verb)?;
        container.runc.run([verb, &container.id]).await?;
        container.init.set_phase(to);
        Ok(Empty::new())
    }

    /// In a frozen cgroup of version 1 nothing ends before it is thawed; so runc thaws what it kills.
    async fn thaw_killed(&self) -> RpcResult<()> {
        let _changing = self.changing.lock().await;
        let container = self.required()?;
        if let Err(error) = container.runc.run(["resume", &container.id]).await {
            tracing::debug!(error = message_of(&error), "cannot thaw what was killed");
        }
        Ok(())
    }

    async fn update(&self, request: UpdateTaskRequest) -> RpcResult<Empty> {
        let _changing = self.changing.lock().await;
        let container = self.required()?;
        let resources = request.resources.as_ref().filter(|resources| !resources.value.is_empty());
        let resources = resources.ok_or_else(|| invalid("the resources are missing"))?;
        let resources = memory_file(&resources.value).map_err(failed)?;
        let streams = Streams { stdin: resources.into(), ..Streams::default() };
        container.runc.run_with(["update", "--resources", "-", &container.id], streams).await?;
        Ok(Empty::new())
    }

    async fn checkpoint(&self, request: CheckpointTaskRequest) -> RpcResult<Empty> {
        let _changing = self.changing.lock().await;
        let container = self.required()?;
        let options = match request.options.as_ref() {
            Some(options) => CheckpointOptions::parse_from_bytes(&options.value).map_err(invalid)?,
            None => CheckpointOptions::default(),
        };
        if !is_installed("criu") {
            return Err(refuse(Code::UNIMPLEMENTED, "a checkpoint requires criu, which is not installed"));
        }
        let flags = [
            (!options.exit, "--leave-running"),
            (options.open_tcp, "--tcp-established"),
            (options.external_unix_sockets, "--ext-unix-sk"),
            (options.terminal, "--shell-job"),
            (options.file_locks, "--file-locks"),
        ];
        let mut arguments = vec!["checkpoint", "--image-path", &request.path];
        if !options.criu_work_path.is_empty() {
            arguments.extend(["--work-path", &options.criu_work_path]);
        }
        if !options.cgroups_mode.is_empty() {
            arguments.extend(["--manage-cgroups-mode", &options.cgroups_mode]);
        }
        arguments.extend(options.empty_namespaces.iter().flat_map(|kind| ["--empty-ns", kind]));
        arguments.extend(flags.into_iter().filter_map(|(wanted, flag)| wanted.then_some(flag)));
        arguments.push(&container.id);
        container.runc.run(arguments).await?;
        Ok(Empty::new())
    }
}

/// Whether a program can be found.
fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| Path::new(&directory).join(program).is_file())
}
