//! One line of the record.

use std::time::SystemTime;

use jiff::Timestamp;

/// Which of its streams a process has written to. A terminal is all on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl LogStream {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A line of the record: something that was written, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was read from the process.
    pub time: SystemTime,
    /// Where it was written to.
    pub stream: LogStream,
    /// Whether it ended a line; its end is not in `text`.
    pub is_whole: bool,
    /// What was written.
    pub text: Vec<u8>,
}

impl Line {
    /// Adds a line to a buffer.
    pub(crate) fn write(buffer: &mut Vec<u8>, time: &str, stream: LogStream, is_whole: bool, text: &[u8]) {
        let tag = if is_whole { "F" } else { "P" };
        for piece in [time, " ", stream.as_str(), " ", tag, " "] {
            buffer.extend_from_slice(piece.as_bytes());
        }
        buffer.extend_from_slice(text);
        buffer.push(b'\n');
    }

    /// Reads a line without its end; `None` if it is not one.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let time: Timestamp = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let stream = match fields.next()? {
            b"stdout" => LogStream::Stdout,
            b"stderr" => LogStream::Stderr,
            _ => return None,
        };
        let is_whole = match fields.next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        Some(Self { time: time.into(), stream, is_whole, text: fields.next()?.to_vec() })
    }

    /// What the process wrote: the text, and the end of the line if it had one.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.text;
        bytes.extend(self.is_whole.then_some(b'\n'));
        bytes
    }
}

/// A time as the record has it: RFC 3339 in UTC, to the nanosecond.
pub(crate) fn time_text(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.9}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_are_those_of_kubernetes_and_come_back() {
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5);
        let mut buffer = Vec::new();
        Line::write(&mut buffer, &time_text(time), LogStream::Stderr, true, b"a  b \xff");
        assert_eq!(buffer, b"2023-11-14T22:13:20.000000005Z stderr F a  b \xff\n");
        let line = Line::parse(&buffer[..buffer.len() - 1]).unwrap();
        assert_eq!((line.time, line.stream, line.is_whole), (time, LogStream::Stderr, true));
        assert_eq!(line.into_bytes(), b"a  b \xff\n");
    }

    #[test]
    fn other_lines_are_none() {
        for line in ["", "x", "2023-11-14T22:13:20Z stdout F", "2023-11-14T22:13:20Z stdin F x", "now stdout F x"] {
            assert_eq!(Line::parse(line.as_bytes()), None, "{line:?}");
        }
        assert_eq!(Line::parse(b"2023-11-14T22:13:20Z stdout P ").unwrap().text, b"");
    }
}
