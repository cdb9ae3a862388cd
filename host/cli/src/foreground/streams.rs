//! Copying between our standard streams and the container's.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;

use dunnage::shim::TaskStreams;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::termios::tcgetwinsize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::input::Input;
use super::raw_terminal::RawTerminal;

/// How much is copied at a time, and how much may wait in a FIFO.
pub(super) const BUFFER: usize = 64 << 10;
const WAITING: usize = 1 << 20;

/// What happens to the streams while the container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Our standard input has ended.
    StdinEnded,
    /// The reader of our standard output or error has gone.
    OutputBroken,
    /// The keys that detach were pressed.
    Detached,
}

/// Threads that copy: reading from our standard input may block for ever.
pub(crate) struct Streams {
    /// Ends when what copies output has.
    copying: UnboundedReceiver<Infallible>,
    /// Closed to say that nothing more will come.
    more: Option<OwnedFd>,
    events: UnboundedReceiver<Event>,
    /// Ours, if our input goes to the process's own.
    terminal: Option<Arc<RawTerminal>>,
    has_terminal: bool,
    /// As long as this is open, a terminal does not hang up.
    _input: Option<OwnedFd>,
}

/// What is copied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copied {
    /// Whether the process has a terminal.
    pub(crate) terminal: bool,
    /// Whether our input goes to the process.
    pub(crate) input: bool,
}

impl Streams {
    pub(crate) fn start(ends: TaskStreams, copied: Copied) -> io::Result<Self> {
        let (sender, events) = unbounded_channel();
        let (last, more) = pipe_with(PipeFlags::CLOEXEC)?;
        let terminal = copied.terminal.then(|| Arc::new(RawTerminal::default()));
        if let Some(terminal) = terminal.as_ref().filter(|_| copied.input) {
            terminal.set();
        }
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
        let mut held = None;
        if copied.input {
            if copied.terminal {
                held = Some(stdin.try_clone()?);
            }
            let input = Input { fifo: stdin, terminal: terminal.clone(), detaches: false, events: sender };
            on_thread(move || input.copy())?;
        }
        Ok(Self {
            copying,
            more: Some(more),
            events,
            terminal: terminal.filter(|_| copied.input),
            has_terminal: copied.terminal,
            _input: held,
        })
    }

    /// Only our input, for a process whose output comes another way.
    /// What is sent to the other end is an event too.
    pub(crate) fn input_only(fifo: Option<OwnedFd>, terminal: bool) -> io::Result<(Self, UnboundedSender<Event>)> {
        let (sender, events) = unbounded_channel();
        let leave = sender.clone();
        let (_, more) = pipe_with(PipeFlags::CLOEXEC)?;
        let (_, copying) = unbounded_channel();
        let has_terminal = terminal;
        let terminal = terminal.then(|| Arc::new(RawTerminal::default()));
        let mut held = None;
        if let Some(fifo) = fifo {
            if let Some(terminal) = &terminal {
                terminal.set();
                held = Some(fifo.try_clone()?);
            }
            let input = Input { fifo, terminal: terminal.clone(), detaches: true, events: sender };
            on_thread(move || input.copy())?;
        }
        Ok((Self { copying, more: Some(more), events, terminal, has_terminal, _input: held }, leave))
    }

    /// Waits for the next event; there may never be one.
    pub(crate) async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// We have been continued, perhaps in the foreground: the shell may have set the terminal.
    pub(crate) fn continued(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.set();
        }
    }

    /// The size of our terminal, if the container has one.
    pub(crate) fn size(&self) -> Option<(u32, u32)> {
        if self.has_terminal { terminal_size() } else { None }
    }

    /// Copies what is left of the container's output.
    pub(crate) async fn finish(mut self) {
        self.more = None;
        while self.copying.recv().await.is_some() {}
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        if let Some(terminal) = &self.terminal {
            terminal.restore();
        }
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

/// Writes everything, also to what does not block.
pub(super) fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
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

/// The size of our terminal, in columns and rows.
pub(crate) fn terminal_size() -> Option<(u32, u32)> {
    let size = tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stdin())).ok()?;
    Some((size.ws_col.into(), size.ws_row.into()))
}
