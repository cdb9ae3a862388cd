//! A shim that answers anything: no panic, no wait past the deadline, no memory without bounds.

#![no_main]

use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use cap::Cap;
use dunnage::shim::ShimClient;
use dunnage::shim::protocol::shim::{CreateTaskRequest, ExecProcessRequest};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// What a client may allocate: some messages of the largest size (4 MiB), and what this target has.
const MEMORY: usize = 64 << 20;
const DEADLINE: Duration = Duration::from_millis(5);
/// Far more than the deadline, so that a busy machine is not taken for a client that hangs.
const HANG_TIMEOUT: Duration = Duration::from_secs(10);

/// Allocating more than the limit fails, which ends the process.
#[global_allocator]
static ALLOCATOR: Cap<std::alloc::System> = Cap::new(std::alloc::System, MEMORY);

async fn call(client: &ShimClient, method: u8) {
    let _ = match method % 16 {
        0 => client.state("web-1").await.map(drop),
        1 => client.create(&CreateTaskRequest::default()).await.map(drop),
        2 => client.start("web-1").await.map(drop),
        3 => client.delete().await.map(drop),
        4 => client.delete_process("exec-1").await.map(drop),
        5 => client.list_pids("web-1").await.map(drop),
        6 => client.pause().await,
        7 => client.resume().await,
        8 => client.kill("web-1", 9, true).await,
        9 => client.exec(ExecProcessRequest::default(), b"{}").await,
        10 => client.resize_pty("web-1", 80, 25).await,
        11 => client.close_stdin("web-1").await,
        12 => client.checkpoint("/checkpoint").await,
        13 => client.shim_info().await.map(drop),
        14 => client.update(b"{}").await,
        _ => client.wait("web-1").await.map(drop),
    };
}

/// Whole answers to the first calls, each as long as the byte before it says.
fn framed(mut rest: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    let mut stream = 1_u32;
    while let Some((length, after)) = rest.split_first() {
        let (message, after) = after.split_at(after.len().min(usize::from(*length)));
        frames.extend((message.len() as u32).to_be_bytes());
        frames.extend(stream.to_be_bytes());
        frames.extend([2, 0]);
        frames.extend(message);
        (stream, rest) = (stream + 2, after);
    }
    frames
}

fuzz_target!(|input: &[u8]| {
    let Some((how, answer)) = input.split_first() else { return };
    let answer = if how & 0x40 == 0 { answer.to_vec() } else { framed(answer) };
    // A silent shim costs the whole deadline.
    let silent = how & 0xb0 == 0x80;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (ours, theirs) = StdStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let client = dunnage::fuzzing::shim_client(ours.into()).unwrap().with_timeout(DEADLINE);
        let mut theirs = UnixStream::from_std(theirs).unwrap();
        // It ends with the runtime: a request that is late before it is sent never comes.
        tokio::spawn(async move {
            // Once there is a request, a client is there to take the answer.
            let _ = theirs.read(&mut [0; 16]).await;
            let _ = theirs.write_all(&answer).await;
            if silent {
                std::future::pending::<()>().await;
            }
        });
        let calls = async {
            call(&client, *how).await;
            call(&client, 13).await;
        };
        tokio::time::timeout(HANG_TIMEOUT, calls).await.expect("a call ends, whatever the shim answers");
    });
});
