//! `logs`.

use std::io::{ErrorKind as IoErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use dunnage::shim::{Line, LogReader, LogStream, log_file_of, open_log};
use dunnage::{BundleId, Dunnage, ErrorKind};
use serde::Serialize;

use super::{Container, Global};
use crate::confine::{Profile, confine_with_log};
use crate::failure::Failed;
use crate::output::{Output, Reader, printable_time};
use crate::times::since;

/// How often to look whether the container has ended, or somebody still reads.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How long the last output of a container that has ended may take to arrive.
const LAST_OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);

/// Print what a detached container has written
#[derive(Args)]
#[command(
    after_help = "Each stream goes to ours. With -o json a line for each piece: {\"time\",\"stream\",\"text\",\"partial\"}.\n\n\
    Example:\n  dunnage logs web-1 --tail 20 --follow\n  dunnage logs web-1 --since 10m"
)]
pub(crate) struct Logs {
    #[command(flatten)]
    container: Container,
    /// Go on with what is still written, until the container has ended
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// Only what was written since a time (2026-01-31T12:00:00Z) or in the last while (90s, 10m, 2h)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<SystemTime>,
    /// Put the time before each line
    #[arg(short, long)]
    timestamps: bool,
    /// The file that `run --log-file` named, if the container is gone
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

/// A piece of output, for programs.
#[derive(Serialize)]
struct Piece {
    time: String,
    stream: &'static str,
    text: String,
    /// Whether the line goes on.
    partial: bool,
}

/// Prints lines, until nobody reads them any more.
struct Printer {
    output: Output,
    timestamps: bool,
    /// Whether the last piece of each stream ended its line.
    at_start: [bool; 2],
}

impl Logs {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let id = global.id(&self.container.id);
        let file = self.log_file.clone().or_else(|| log_file_of(&global.state, &id));
        let file = file.map(std::path::absolute).transpose()?;
        confine_with_log(global, &Profile::FOLLOWING_LOG, file.as_deref());
        let dunnage = global.dunnage()?;
        let mut reader = kept_output(&dunnage, &id, file.as_deref())?.ok_or_else(|| {
            let why = "nothing that it writes is kept: it was not started with --detach";
            Failed::of(&format!("logs {id}"), ErrorKind::NotFound, dunnage::Step::ReadLog, why)
        })?;
        let mut printer = Printer { output: global.output, timestamps: self.timestamps, at_start: [true; 2] };
        match self.print(&dunnage, &id, &mut reader, &mut printer) {
            // A reader that goes away has seen enough.
            Err(error) if is_broken_pipe(&error) => Ok(()),
            printed => printed,
        }
    }

    fn print(
        &self,
        dunnage: &Dunnage,
        id: &BundleId,
        reader: &mut LogReader,
        printer: &mut Printer,
    ) -> anyhow::Result<()> {
        let mut before = Vec::new();
        while let Some(line) = reader.next_now()? {
            if self.since.is_none_or(|since| line.time >= since) {
                before.push(line);
            }
        }
        let is_shown = of_last_lines(&before, self.tail.unwrap_or(usize::MAX / 2));
        for (line, _) in before.into_iter().zip(is_shown).filter(|(_, is_shown)| *is_shown) {
            printer.print(line)?;
        }
        let readers = Reader::of_stdout();
        while self.follow && readers.is_there() {
            match reader.next_within(LOOK_INTERVAL)? {
                Some(line) => printer.print(line)?,
                None if has_ended(dunnage, id)? => {
                    while let Some(line) = reader.next_within(LAST_OUTPUT_TIMEOUT)? {
                        printer.print(line)?;
                    }
                    return Ok(());
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// What was kept of the output of a container: in a file of its starter's choice, or beside its bundle.
pub(super) fn kept_output(dunnage: &Dunnage, id: &BundleId, file: Option<&Path>) -> anyhow::Result<Option<LogReader>> {
    Ok(match file {
        Some(file) => Some(open_log(file)?),
        None => dunnage.container_log(id)?,
    })
}

/// Whether a container has ended, or is gone with its bundle.
pub(super) fn has_ended(dunnage: &Dunnage, id: &BundleId) -> anyhow::Result<bool> {
    match dunnage.task_info(id) {
        Ok(info) => Ok(info.exit_status.is_some()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Which pieces belong to the last lines: those of one line lie apart if the other stream came in between.
fn of_last_lines(pieces: &[Line], lines: usize) -> Vec<bool> {
    let mut count = 0;
    let mut open = [None; 2];
    let numbers: Vec<usize> = pieces
        .iter()
        .map(|piece| {
            let [stdout, stderr] = &mut open;
            let open = if piece.stream == LogStream::Stdout { stdout } else { stderr };
            let number = open.take().unwrap_or_else(|| {
                count += 1;
                count
            });
            if !piece.is_whole {
                *open = Some(number);
            }
            number
        })
        .collect();
    numbers.into_iter().map(|number| number + lines > count).collect()
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == IoErrorKind::BrokenPipe)
}

impl Printer {
    fn print(&mut self, line: Line) -> anyhow::Result<()> {
        if self.output == Output::Json {
            let piece = Piece {
                time: printable_time(line.time),
                stream: if line.stream == LogStream::Stdout { "stdout" } else { "stderr" },
                text: String::from_utf8_lossy(&line.text).into_owned(),
                partial: !line.is_whole,
            };
            let mut text = serde_json::to_vec(&piece)?;
            text.push(b'\n');
            let mut output = std::io::stdout().lock();
            return Ok(output.write_all(&text).and_then(|()| output.flush())?);
        }
        let (stream, whole) = (line.stream, line.is_whole);
        let [to_stdout, to_stderr] = &mut self.at_start;
        let at_start = if stream == LogStream::Stdout { to_stdout } else { to_stderr };
        let mut text = Vec::new();
        if self.timestamps && *at_start {
            text.extend(printable_time(line.time).bytes());
            text.push(b' ');
        }
        *at_start = whole;
        text.extend(line.into_bytes());
        // As the container wrote it: this is its output, not ours.
        match stream {
            LogStream::Stdout => {
                let mut output = std::io::stdout().lock();
                output.write_all(&text).and_then(|()| output.flush())?;
            }
            LogStream::Stderr => std::io::stderr().write_all(&text)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_found_whatever_pieces_they_came_in() {
        let piece = |stream, is_whole| Line { time: SystemTime::UNIX_EPOCH, stream, is_whole, text: vec![] };
        let (out, err) = (LogStream::Stdout, LogStream::Stderr);
        // Lines 1, 2, 3, 2, 4, 5.
        let pieces =
            [(out, true), (out, false), (err, true), (out, true), (out, true), (err, false)].map(|(s, w)| piece(s, w));
        let shown = |lines| {
            let shown = of_last_lines(&pieces, lines);
            shown.iter().map(|shown| if *shown { 'x' } else { '-' }).collect::<String>()
        };
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 9].map(shown),
            ["------", "-----x", "----xx", "--x-xx", "-xxxxx", "xxxxxx", "xxxxxx"]
        );
        assert!(of_last_lines(&[], 3).is_empty());
    }
}
