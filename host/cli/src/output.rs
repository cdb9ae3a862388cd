//! Results: tables for people, JSON for programs.

use std::io::{BufWriter, Error, ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use clap::ValueEnum;
use dunnage_core::printable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Serialize, Serializer as _};

use super::Failed;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Human-readable text
    Table,
    /// JSON
    Json,
}

impl Output {
    /// Prints a value as JSON, or else what `table` makes of it.
    pub(super) fn print<T: Serialize>(self, value: &T, table: impl FnOnce(&T) -> String) -> Result<(), Failed> {
        write_all(self.text(value, table)?.as_bytes())
    }

    /// The same of what changes nothing: a reader that goes away has seen enough.
    pub(super) fn show<T: Serialize>(self, value: &T, table: impl FnOnce(&T) -> String) -> Result<(), Failed> {
        write_to_reader(self.text(value, table)?.as_bytes())
    }

    fn text<T: Serialize>(self, value: &T, table: impl FnOnce(&T) -> String) -> Result<String, Failed> {
        let mut text = match self {
            Self::Table => printable(&table(value)).into_owned(),
            Self::Json => serde_json::to_string(value).map_err(|error| Failed::output(&error.into()))?,
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }

    /// Prints items as a JSON array, or else as rows under headings. They may be very many, so they are
    /// made one by one, for a table twice.
    pub(super) fn print_each<T, I, const N: usize>(
        self,
        items: impl Fn() -> I,
        headings: [&str; N],
        row: impl Fn(&T) -> [String; N],
    ) -> Result<(), Failed>
    where
        T: Serialize,
        I: Iterator<Item = T>,
    {
        check_open()?;
        let mut output = BufWriter::new(std::io::stdout().lock());
        let written = match self {
            Self::Json => serde_json::Serializer::new(&mut output).collect_seq(items()).map_err(Error::from),
            Self::Table => {
                let columns = Columns::of(headings, items().map(|item| row(&item)));
                let rows = items().map(|item| columns.line(row(&item).each_ref().map(String::as_str)));
                std::iter::once(columns.line(headings))
                    .chain(rows)
                    .try_for_each(|line| output.write_all(printable(&line).as_bytes()))
            }
        };
        let end = if self == Self::Json { "\n" } else { "" };
        let written = written.and_then(|()| output.write_all(end.as_bytes())).and_then(|()| output.flush());
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| Failed::output(&error)),
        }
    }
}

/// Fails if there is no standard output: a command whose result cannot be read is not begun.
pub(super) fn check_open() -> Result<(), Failed> {
    if CLOSED.load(Ordering::Relaxed) {
        return Err(Failed::output(&Error::new(ErrorKind::BrokenPipe, "it is closed")));
    }
    Ok(())
}

/// The same for what is only to be read: a reader that goes away has seen enough.
pub(super) fn write_to_reader(bytes: &[u8]) -> Result<(), Failed> {
    check_open()?;
    let mut output = std::io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failed::output(&error)),
    }
}

/// Writes to standard output and makes sure that it went somewhere.
pub(super) fn write_all(bytes: &[u8]) -> Result<(), Failed> {
    check_open()?;
    let mut output = std::io::stdout().lock();
    output.write_all(bytes).and_then(|()| output.flush()).map_err(|error| Failed::output(&error))
}

/// Whether somebody reads what we write: a pipe whose other end is closed has nobody.
pub(super) struct Reader(std::io::Stdout);

impl Reader {
    pub(super) fn of_stdout() -> Self {
        Self(std::io::stdout())
    }

    pub(super) fn is_there(&self) -> bool {
        let mut output = [PollFd::new(&self.0, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut output, Some(&now)).is_err() || !output.iter().any(|output| output.revents().contains(PollFlags::ERR))
    }
}

/// A time as the logs have it: RFC 3339 in UTC, to the nanosecond.
pub(super) fn printable_time(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| format!("{time:.9}"))
}

/// Rows under headings, the columns aligned.
pub(super) fn columns<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let columns = Columns::of(headings, rows.iter().cloned());
    let lines = rows.iter().map(|row| columns.line(row.each_ref().map(String::as_str)));
    std::iter::once(columns.line(headings)).chain(lines).collect()
}

/// The widths of columns.
struct Columns<const N: usize>([usize; N]);

impl<const N: usize> Columns<N> {
    /// The widths that hold all cells.
    fn of(headings: [&str; N], rows: impl Iterator<Item = [String; N]>) -> Self {
        Self(rows.fold(headings.map(str::len), |mut widths, row| {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
            widths
        }))
    }

    fn line(&self, cells: [&str; N]) -> String {
        let padded = cells.iter().zip(self.0).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    }
}

/// Names and values, the values aligned.
pub(super) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:width$}  {value}").trim_end().to_owned() + "\n").collect()
}

/// Whether standard output was closed when the process started.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Rust's runtime puts `/dev/null` in the place of a closed standard output, and a result that
/// goes nowhere would look like success. So this looks before the runtime does.
#[used]
#[expect(unsafe_code, reason = "only a constructor runs before the runtime")]
// SAFETY: `.init_array` holds pointers to C functions, and `note_closed_stdout` is one that
// neither allocates nor unwinds, nor needs the runtime.
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = note_closed_stdout;

extern "C" fn note_closed_stdout() {
    #[expect(unsafe_code, reason = "asking whether a descriptor is open needs its bare number")]
    // SAFETY: `F_GETFD` is defined for closed descriptors too: it answers EBADF.
    let stdout = unsafe { std::os::fd::BorrowedFd::borrow_raw(1) };
    let closed = rustix::io::fcntl_getfd(stdout) == Err(rustix::io::Errno::BADF);
    CLOSED.store(closed, Ordering::Relaxed);
}
