//! Reading the record, also while it is written.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dunnage_core::{AtStep as _, Result, Step};
use dunnage_sys::{Directory, DirectoryWatch, FileIdentity, LineFile, Name};

use crate::line::Line;

/// How much is read at a time: more than the longest line.
const CHUNK: usize = 64 << 10;
/// How often to look where nothing can be watched.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often to look all the same.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The lines on record, and then those to come.
#[derive(Debug)]
pub struct LogReader {
    directory: Arc<Directory>,
    name: Name,
    older: Name,
    watch: Option<DirectoryWatch>,
    file: Option<(LineFile, u64)>,
    ready: VecDeque<Line>,
}

impl LogReader {
    /// Reads from the start of what was kept.
    ///
    /// # Errors
    ///
    /// If there is a file that cannot be read.
    pub fn open(directory: Arc<Directory>, name: Name, older: Name) -> Result<Self> {
        // Watched from before it is read, so that no change falls between.
        let watch = DirectoryWatch::new(&directory)
            .inspect_err(|failure| tracing::debug!(%failure, "looking for output now and then instead"))
            .ok();
        let mut reader = Self { directory, name, older, watch, file: None, ready: VecDeque::new() };
        reader.read_all_but(None)?;
        Ok(reader)
    }

    /// Whether a file was found.
    #[must_use]
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// The next line that is there already.
    ///
    /// # Errors
    ///
    /// If the record cannot be read.
    pub fn next_now(&mut self) -> Result<Option<Line>> {
        if self.ready.is_empty() {
            self.look()?;
        }
        Ok(self.ready.pop_front())
    }

    /// The next line; `None` if none comes within some time.
    ///
    /// # Errors
    ///
    /// If the record cannot be read.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Line>> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(line) = self.next_now()? {
                return Ok(Some(line));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            match &self.watch {
                Some(watch) => watch.wait(left.min(RECHECK_INTERVAL)).at_step(Step::ReadLog)?,
                None => std::thread::sleep(left.min(POLL_INTERVAL)),
            }
        }
    }

    /// Reads what is new.
    fn look(&mut self) -> Result<()> {
        // First which file it is, then its content: nothing is added to a file that has lost its name.
        let now = self.directory.lines_identity(&self.name).at_step(Step::ReadLog)?;
        self.read_on()?;
        let known = self.file.as_ref().map(|(file, _)| file.identity());
        if now.is_none() || now == known {
            return Ok(());
        }
        // The file may have been replaced more than once: what is older is new too then.
        self.read_all_but(known)
    }

    /// Reads both files, but for the one that was read already.
    fn read_all_but(&mut self, known: Option<FileIdentity>) -> Result<()> {
        let files = self.directory.open_rotated_lines(&self.name, &self.older).at_step(Step::ReadLog)?;
        for file in files.into_iter().flatten().filter(|file| Some(file.identity()) != known) {
            self.file = Some((file, 0));
            self.read_on()?;
        }
        Ok(())
    }

    /// Reads whole lines to the end of the file. Half a line at the end is read again later.
    fn read_on(&mut self) -> Result<()> {
        let Some((file, offset)) = &mut self.file else { return Ok(()) };
        loop {
            let chunk = file.read_at(*offset, CHUNK).at_step(Step::ReadLog)?;
            let Some(end) = chunk.iter().rposition(|byte| *byte == b'\n') else {
                // Not a line of ours: none is as long.
                if chunk.len() == CHUNK {
                    *offset += CHUNK as u64;
                    continue;
                }
                return Ok(());
            };
            let lines = chunk.get(..end).unwrap_or_default().split(|byte| *byte == b'\n');
            self.ready.extend(lines.filter_map(Line::parse));
            *offset += end as u64 + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use dunnage_sys::trusted_path::open_trusted;

    use super::*;
    use crate::{LogStream, LogWriter};

    const NAME: Name = Name::literal(c"log");
    const OLDER: Name = Name::literal(c"log.1");

    fn directory(scratch: &tempfile::TempDir) -> Arc<Directory> {
        Arc::new(open_trusted(scratch.path()).unwrap())
    }

    fn text(reader: &mut LogReader, stream: LogStream) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(line) = reader.next_now().unwrap() {
            if line.stream == stream {
                all.extend(line.into_bytes());
            }
        }
        all
    }

    #[test]
    fn what_is_written_comes_back_byte_for_byte() {
        let scratch = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::new(directory(&scratch), NAME, OLDER, 10 << 20);
        let mut expected = Vec::new();
        for (number, length) in [0, 1, 5, 16 << 10, 16_385, 100_000].into_iter().enumerate() {
            let mut bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            bytes.extend(b"\n\n x\r\n");
            bytes.push(number as u8);
            writer.write(LogStream::Stdout, &bytes);
            writer.write(LogStream::Stderr, b"other\n");
            expected.extend(bytes);
        }
        let mut reader = LogReader::open(directory(&scratch), NAME, OLDER).unwrap();
        assert_eq!(text(&mut reader, LogStream::Stdout), expected);
    }

    #[test]
    fn two_files_of_bounded_size_are_kept_and_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::new(directory(&scratch), NAME, OLDER, 4096);
        writer.begin().unwrap();
        let mut reader = LogReader::open(directory(&scratch), NAME, OLDER).unwrap();
        for number in 0..1000 {
            let line = format!("line {number}\n");
            writer.write(LogStream::Stdout, line.as_bytes());
            assert_eq!(text(&mut reader, LogStream::Stdout), line.as_bytes());
        }
        for name in ["log", "log.1"] {
            assert!(scratch.path().join(name).metadata().unwrap().len() < 4096 + 100, "{name}");
        }
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 2);
        let mut again = LogReader::open(directory(&scratch), NAME, OLDER).unwrap();
        assert!(text(&mut again, LogStream::Stdout).ends_with(b"line 998\nline 999\n"));
        assert_eq!(reader.next_within(Duration::from_millis(1)).unwrap(), None);
        // Many lines at once fill files one after the other, too.
        let lines: String = (0..1000).map(|number| format!("at once {number}\n")).collect();
        writer.write(LogStream::Stdout, lines.as_bytes());
        for name in ["log", "log.1"] {
            assert!((100..4096 + 100).contains(&scratch.path().join(name).metadata().unwrap().len()), "{name}");
        }
        assert!(scratch.path().join("log.1").metadata().unwrap().len() > 4000);
        assert!(text(&mut reader, LogStream::Stdout).ends_with(b"at once 999\n"));
        // Replaced twice between two looks: what both files hold is found, in order.
        let many: Vec<_> = (0..150).map(|number| format!("late {number}\n")).collect();
        for line in &many {
            writer.write(LogStream::Stdout, line.as_bytes());
        }
        let late = String::from_utf8(text(&mut reader, LogStream::Stdout)).unwrap();
        let kept =
            String::from_utf8(text(&mut LogReader::open(directory(&scratch), NAME, OLDER).unwrap(), LogStream::Stdout))
                .unwrap();
        assert!(many.concat().ends_with(&late) && late.ends_with(&kept) && kept.lines().count() > 75, "{late}");
    }
}
