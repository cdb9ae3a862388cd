//! Copying between our standard streams and the container's.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use dunnage::shim::TaskStreams;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How much is copied at a time, and how much may wait in a FIFO.
const BUFFER: usize = 64 << 10;
const WAITING: usize = 1 << 20;

/// What happens to the streams while the container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Our standard input has ended.
    StdinEnded,
    /// The reader of our standard output or error has gone.
    OutputBroken,
}

/// Threads that copy: reading from our standard input may block for ever.
pub(super) struct Streams {
    /// Ends when what copies output has.
    copying: UnboundedReceiver<Infallible>,
    /// Closed to say that nothing more will come.
    more: OwnedFd,
    events: UnboundedReceiver<Event>,
    terminal: Option<Raw>,
}

impl Streams {
    pub(super) fn start(ends: TaskStreams, terminal: bool) -> io::Result<Self> {
        let (sender, events) = unbounded_channel();
        let (last, more) = pipe_with(PipeFlags::CLOEXEC)?;
        let raw = if terminal { Raw::set() } else { None };
        let (copies, copying) = unbounded_channel();
        let TaskStreams { stdin, stdout, stderr, .. } = ends;
        for (fifo, to_stdout) in std::iter::once((stdout, true)).chain(stderr.map(|stderr| (stderr, false))) {
            // An unprivileged user may not have more than the system's limit; less is enough.
            let _ = fcntl_setpipe_size(&fifo, WAITING);
            let (last, sender) = (last.try_clone()?, sender.clone());
            let target = if to_stdout {
                io::stdout().as_fd().try_clone_to_owned()?
            } else {
                io::stderr().as_fd().try_clone_to_owned()?
            };
            let copies = copies.clone();
            on_thread(move || {
                let _until_the_end = copies;
                copy_output(&fifo, &target, &last, &sender);
            })?;
        }
        on_thread(move || copy_input(&stdin, &sender))?;
        Ok(Self { copying, more, events, terminal: raw })
    }

    /// Waits for the next event; there may never be one.
    pub(super) async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// The size of our terminal, if the container has one.
    pub(super) fn size(&self) -> Option<(u32, u32)> {
        self.terminal.as_ref()?;
        tcgetwinsize(io::stdout())
            .or_else(|_| tcgetwinsize(io::stdin()))
            .ok()
            .map(|size| (size.ws_col.into(), size.ws_row.into()))
    }

    /// Copies what is left of the container's output.
    pub(super) async fn finish(self) {
        let Self { more, mut copying, terminal: _until_the_end, .. } = self;
        drop(more);
        while copying.recv().await.is_some() {}
    }
}

/// `thread::spawn` panics if the system cannot start a thread.
fn on_thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().spawn(work).map(drop)
}

/// Copies until no more data will come and none is left.
fn copy_output(fifo: &OwnedFd, to: &OwnedFd, last: &OwnedFd, events: &UnboundedSender<Event>) {
    let mut buffer = vec![0_u8; BUFFER];
    let mut readers = true;
    let mut over = false;
    loop {
        match rustix::io::read(fifo, &mut *buffer) {
            Ok(count) if count > 0 => {
                // The rest is read all the same, or the container would wait for ever.
                if readers && write_all(to.as_fd(), buffer.get(..count).unwrap_or_default()).is_err() {
                    readers = false;
                    let _ = events.send(Event::OutputBroken);
                }
            }
            Err(Errno::INTR) => {}
            Ok(_) | Err(Errno::AGAIN) if !over => over = wait_for(fifo, last),
            Ok(_) | Err(_) => return,
        }
    }
}

/// Waits for something to read; whether nothing more will come.
fn wait_for(fifo: &OwnedFd, last: &OwnedFd) -> bool {
    let mut sources = [PollFd::new(fifo, PollFlags::IN), PollFd::new(last, PollFlags::IN)];
    match poll(&mut sources, None) {
        Ok(_) => sources.last().is_some_and(|last| !last.revents().is_empty()),
        Err(Errno::INTR) => false,
        Err(_) => true,
    }
}

fn copy_input(fifo: &OwnedFd, events: &UnboundedSender<Event>) {
    let mut buffer = vec![0_u8; BUFFER];
    loop {
        match rustix::io::read(io::stdin(), &mut *buffer) {
            Ok(0) => break,
            Ok(count) => {
                if write_all(fifo.as_fd(), buffer.get(..count).unwrap_or_default()).is_err() {
                    break;
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&io::stdin(), PollFlags::IN)], None);
            }
            Err(_) => break,
        }
    }
    let _ = events.send(Event::StdinEnded);
}

/// Writes everything, also to what does not block.
fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Our terminal in raw mode, until this is dropped: the container's own terminal does the rest.
struct Raw(Termios);

impl Raw {
    fn set() -> Option<Self> {
        let stdin = io::stdin();
        if !isatty(&stdin) {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Flush, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
