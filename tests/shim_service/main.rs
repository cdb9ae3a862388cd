//! Real containers, driven through the socket. They need root, runc and a static busybox.

mod bed;

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use bed::{Bed, code, context, read_all, run};
use dunnage_shim_proto::runc::CreateOptions;
use dunnage_shim_proto::shim::*;
use dunnage_shim_proto::task::Status;
use protobuf::Message;
use protobuf::well_known_types::any::Any;
use protobuf::well_known_types::empty::Empty;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use ttrpc::Code;

fn kill(signal: u32) -> KillRequest {
    KillRequest { id: "c1".into(), signal, ..KillRequest::default() }
}

fn json_any(value: &serde_json::Value) -> protobuf::MessageField<Any> {
    Some(Any { type_url: "json".into(), value: value.to_string().into_bytes(), ..Any::default() }).into()
}

fn exec(id: &str, script: &str) -> ExecProcessRequest {
    let spec =
        json!({"args": ["/bin/sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}});
    ExecProcessRequest { id: id.into(), spec: json_any(&spec), ..ExecProcessRequest::default() }
}

fn exec_id(id: &str) -> DeleteProcessRequest {
    DeleteProcessRequest { id: id.into(), ..DeleteProcessRequest::default() }
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn a_container_ends_with_its_status_and_an_event() {
    run(async {
        for (script, status) in [("true", 0), ("exit 42", 42)] {
            let bed = Bed::new(&["/bin/sh", "-c", script]).await;
            let pid = bed.client.create(context(), &bed.request()).await.unwrap().pid;
            assert_eq!(bed.status("c1").await, Status::CREATED);
            let again = bed.client.create(context(), &bed.request()).await;
            assert_eq!(code(again).0, Code::ALREADY_EXISTS);
            assert_eq!(bed.start("").await, pid);
            assert_eq!((bed.wait("c1").await, bed.wait("").await), (status, status));
            assert_eq!(bed.status("c1").await, Status::STOPPED);
            let killed = bed.client.kill(context(), &kill(15)).await;
            assert_eq!(code(killed), (Code::NOT_FOUND, "process already finished".into()));
            let exits = bed.delete(status).await;
            assert_eq!(exits.len(), 1);
            assert_eq!((exits[0].container_id.as_str(), exits[0].id.as_str()), ("c1", "c1"));
            assert_eq!((exits[0].pid, exits[0].exit_status), (pid, status));
            assert!(exits[0].exited_at.seconds > 0);
        }
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn stdin_ends_with_close_io_and_output_goes_to_fifo_and_file() {
    run(async {
        let bed = Bed::new(&["/bin/sh", "-c", "cat; echo done >&2"]).await;
        let (stdout, output) = bed.output("stdout");
        let stdin = bed.fifo("stdin");
        let stderr = format!("file://{}", bed.path("std%65rr").display());
        let request = CreateTaskRequest { stdin: stdin.clone(), stdout, stderr, ..bed.request() };
        bed.client.create(context(), &request).await.unwrap();
        let mut input = pipe::OpenOptions::new().open_sender(&stdin).unwrap();
        bed.start("c1").await;
        input.write_all(b"hello").await.unwrap();
        drop(input);
        // The kept end lets another client come.
        let mut input = pipe::OpenOptions::new().open_sender(&stdin).unwrap();
        input.write_all(b" again").await.unwrap();
        drop(input);
        let close = CloseIORequest { id: "c1".into(), stdin: true, ..CloseIORequest::default() };
        bed.client.close_io(context(), &close).await.unwrap();
        assert_eq!(bed.wait("c1").await, 0);
        assert_eq!(read_all(output).await, b"hello again");
        assert_eq!(std::fs::read(bed.path("stderr")).unwrap(), b"done\n");
        bed.delete(0).await;
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn a_running_container_is_killed_not_deleted() {
    run(async {
        let bed = Bed::new(&["/bin/sleep", "100"]).await;
        bed.client.create(context(), &bed.request()).await.unwrap();
        bed.start("c1").await;
        let deleted = bed.client.delete(context(), &Empty::new()).await;
        assert_eq!(code(deleted).0, Code::FAILED_PRECONDITION);
        let killed = bed.client.kill(context(), &kill(65)).await;
        assert_eq!(code(killed).0, Code::INVALID_ARGUMENT);
        bed.client.kill(context(), &kill(0)).await.unwrap();
        bed.client.kill(context(), &kill(9)).await.unwrap();
        assert_eq!(bed.wait("c1").await, 137);
        bed.delete(137).await;
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn execs_run_pause_and_are_listed() {
    run(async {
        let bed = Bed::new(&["/bin/sleep", "100"]).await;
        let init = bed.client.create(context(), &bed.request()).await.unwrap().pid;
        bed.start("c1").await;
        let (stdout, output) = bed.output("stdout");
        let request = ExecProcessRequest { stdout, ..exec("e1", "echo from exec; exit 7") };
        bed.client.exec(context(), &request).await.unwrap();
        assert_eq!(code(bed.client.exec(context(), &request).await).0, Code::ALREADY_EXISTS);
        bed.start("e1").await;
        assert_eq!(bed.wait("e1").await, 7);
        assert_eq!(read_all(output).await, b"from exec\n");
        assert_eq!(bed.client.delete_process(context(), &exec_id("e1")).await.unwrap().exit_status, 7);
        assert_eq!(code(bed.client.delete_process(context(), &exec_id("e1")).await).0, Code::NOT_FOUND);
        assert_eq!(code(bed.client.delete_process(context(), &exec_id("c1")).await).0, Code::INVALID_ARGUMENT);
        bed.client.exec(context(), &exec("init", "sleep 100")).await.unwrap();
        let second = bed.start("init").await;
        let listed = bed.client.list_pids(context(), &ListPidsRequest::default()).await.unwrap().processes;
        let mut pids: Vec<_> = listed.iter().map(|process| (process.pid, process.info.is_some())).collect();
        pids.sort_unstable();
        assert_eq!(pids, [(init, false), (second, true)]);
        bed.client.pause(context(), &Empty::new()).await.unwrap();
        assert_eq!(bed.status("").await, Status::PAUSED);
        assert_eq!(code(bed.client.pause(context(), &Empty::new()).await).0, Code::FAILED_PRECONDITION);
        bed.client.resume(context(), &Empty::new()).await.unwrap();
        assert_eq!(bed.status("").await, Status::RUNNING);
        let limits = json_any(&json!({"cpu": {"shares": 512}}));
        let update = UpdateTaskRequest { resources: limits, ..UpdateTaskRequest::default() };
        bed.client.update(context(), &update).await.unwrap();
        bed.client.kill(context(), &KillRequest { all: true, ..kill(9) }).await.unwrap();
        assert_eq!((bed.wait("c1").await, bed.wait("init").await), (137, 137));
        assert_eq!(bed.exits(3).await.len(), 3);
        bed.delete(137).await;
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn what_makes_no_sense_is_refused_with_the_codes_of_the_original() {
    run(async {
        let bed = Bed::new(&["/bin/sleep", "100"]).await;
        let state = bed.client.state(context(), &StateRequest::default()).await;
        assert_eq!(code(state).0, Code::NOT_FOUND);
        assert_eq!(code(bed.client.delete(context(), &Empty::new()).await).0, Code::FAILED_PRECONDITION);
        assert_eq!(code(bed.client.pause(context(), &Empty::new()).await).0, Code::FAILED_PRECONDITION);
        assert_eq!(code(bed.client.exec(context(), &exec("e", "true")).await).0, Code::FAILED_PRECONDITION);
        bed.client.create(context(), &bed.request()).await.unwrap();
        for id in ["", "..", "a/b", "-x", ".x"] {
            let refused = code(bed.client.exec(context(), &exec(id, "true")).await).0;
            assert!(matches!(refused, Code::INVALID_ARGUMENT), "{id:?}");
        }
        let without = ExecProcessRequest { id: "e".into(), ..ExecProcessRequest::default() };
        assert_eq!(code(bed.client.exec(context(), &without).await).0, Code::INVALID_ARGUMENT);
        let update = bed.client.update(context(), &UpdateTaskRequest::default()).await;
        assert_eq!(code(update).0, Code::INVALID_ARGUMENT);
        assert_eq!(bed.client.shim_info(context(), &Empty::new()).await.unwrap().shim_pid, std::process::id());
        // Never started: it is killed.
        bed.delete(137).await;
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn a_terminal_is_resized_and_its_output_is_complete() {
    run(async {
        let mut bed = Bed::new(&[
            "/bin/sh",
            "-c",
            "stty size; read line; echo got $line; dd if=/dev/zero bs=1k count=200 | busybox tr '\\0' x; echo end",
        ])
        .await;
        bed.spec["process"]["terminal"] = json!(true);
        let (stdout, mut output) = bed.output("stdout");
        let stdin = bed.fifo("stdin");
        let request = CreateTaskRequest { stdin: stdin.clone(), stdout, terminal: true, ..bed.request() };
        bed.client.create(context(), &request).await.unwrap();
        let size = ResizePtyRequest { id: "c1".into(), width: 132, height: 43, ..ResizePtyRequest::default() };
        bed.client.resize_pty(context(), &size).await.unwrap();
        bed.start("c1").await;
        let mut input = pipe::OpenOptions::new().open_sender(&stdin).unwrap();
        input.write_all(b"me\n").await.unwrap();
        let mut all = Vec::new();
        let (read, status) = tokio::join!(output.read_to_end(&mut all), bed.wait("c1"));
        let text = String::from_utf8(all).unwrap();
        assert_eq!((read.is_ok(), status), (true, 0));
        assert!(text.contains("43 132\r\n") && text.contains("got me\r\n") && text.ends_with("end\r\n"), "{text:.200}");
        assert_eq!(text.matches('x').count(), 200 * 1024);
        bed.delete(0).await;
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn a_large_output_arrives_whole() {
    run(async {
        let bed = Bed::new(&["/bin/dd", "if=/dev/zero", "bs=1M", "count=50"]).await;
        let (stdout, output) = bed.output("stdout");
        bed.client.create(context(), &CreateTaskRequest { stdout, ..bed.request() }).await.unwrap();
        bed.start("c1").await;
        let (all, status) = tokio::join!(read_all(output), bed.wait("c1"));
        assert_eq!((all.len(), status), (50 << 20, 0));
        bed.delete(0).await;
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn descriptors_of_our_own_are_handed_on() {
    run(async {
        let bed = Bed::new(&["/bin/echo", "hello"]).await;
        let (theirs, ours) = std::io::pipe().map(|(reader, writer)| (writer, reader)).unwrap();
        let stdout = format!("fd:{}", theirs.as_raw_fd());
        let bad = CreateTaskRequest { stdout: "fd:99999".into(), ..bed.request() };
        assert_eq!(code(bed.client.create(context(), &bad).await).0, Code::INVALID_ARGUMENT);
        bed.assert_clean();
        bed.client.create(context(), &CreateTaskRequest { stdout, ..bed.request() }).await.unwrap();
        drop(theirs);
        bed.start("c1").await;
        assert_eq!(bed.wait("c1").await, 0);
        assert_eq!(std::io::read_to_string(ours).unwrap(), "hello\n");
        bed.delete(0).await;
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn a_create_that_fails_leaves_nothing() {
    run(async {
        let bed = Bed::new(&["/bin/missing"]).await;
        let (code_, message) = code(bed.client.create(context(), &bed.request()).await);
        assert_eq!(code_, Code::UNKNOWN);
        assert!(message.contains("missing"), "{message}");
        bed.assert_clean();
        let gone = CreateTaskRequest { stdout: "/nowhere/at/all".into(), ..bed.request() };
        assert_eq!(code(bed.client.create(context(), &gone).await).0, Code::UNKNOWN);
        let mut outside = bed.request();
        outside.rootfs[0].target = "../..".into();
        assert_eq!(code(bed.client.create(context(), &outside).await).0, Code::INVALID_ARGUMENT);
        // Somebody else's container of that id is left alone.
        std::fs::create_dir_all(bed.path("runc/test/c1")).unwrap();
        assert_eq!(code(bed.client.create(context(), &bed.request()).await).0, Code::ALREADY_EXISTS);
        std::fs::remove_dir(bed.path("runc/test/c1")).unwrap();
        std::os::unix::fs::symlink("/", bed.path("image/link")).unwrap();
        let mut linked = bed.request();
        let inner = dunnage_shim_proto::types::Mount { target: "link/tmp".into(), ..linked.rootfs[0].clone() };
        linked.rootfs.push(inner);
        assert_eq!(code(bed.client.create(context(), &linked).await).0, Code::UNKNOWN);
        bed.assert_clean();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn a_user_namespace_can_open_its_output_again() {
    run(async {
        let bed = Bed::with_spec("userns.json", &["/bin/sh", "-c", "echo again > /dev/stdout"]).await;
        let (stdout, output) = bed.output("stdout");
        let options = CreateOptions { io_uid: 100_000, io_gid: 100_000, ..CreateOptions::default() };
        let value = options.write_to_bytes().unwrap();
        let options = Any { type_url: "containerd.linux.runc.CreateOptions".into(), value, ..Any::default() };
        let request = CreateTaskRequest { stdout, options: Some(options).into(), ..bed.request() };
        bed.client.create(context(), &request).await.unwrap();
        bed.start("c1").await;
        assert_eq!(bed.wait("c1").await, 0);
        assert_eq!(read_all(output).await, b"again\n");
        bed.delete(0).await;
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn without_a_pid_namespace_all_ends_with_init_and_is_reaped() {
    run(async {
        let mut bed = Bed::new(&["/bin/sh", "-c", "busybox setsid sleep 77.5 & sleep 0.2"]).await;
        bed.spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|kind| kind["type"] != "pid");
        bed.client.create(context(), &bed.request()).await.unwrap();
        bed.start("c1").await;
        assert_eq!(bed.wait("c1").await, 0);
        bed.delete(0).await;
        // The sleeper, or a zombie of ours.
        let zombie = format!(") Z {} ", std::process::id());
        let left = |process: std::path::PathBuf| {
            let read = |name| std::fs::read(process.join(name)).map(|text| String::from_utf8_lossy(&text).into_owned());
            read("cmdline").is_ok_and(|line| line.contains("77.5\0") && !line.contains("setsid"))
                || read("stat").is_ok_and(|stat| stat.contains(&zombie))
        };
        let left = || std::fs::read_dir("/proc").unwrap().flatten().any(|process| left(process.path()));
        let started = Instant::now();
        while left() && started.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!left());
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn an_impatient_client_does_not_stop_a_create_half_way() {
    run(async {
        let bed = Bed::new(&["/bin/true"]).await;
        let hurried = ttrpc::context::with_timeout(5_000_000);
        assert!(bed.client.create(hurried, &bed.request()).await.is_err());
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if bed.client.state(context(), &StateRequest::default()).await.is_ok() {
                break;
            }
        }
        assert_eq!(bed.status("").await, Status::CREATED);
        bed.delete(137).await;
    });
}
