//! Text from policies, runtimes and file systems, as it may go to a terminal.

use std::borrow::Cow;

/// Text without the control characters that a terminal would obey, except line ends.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escape(text, |c| c.is_control() && c != '\n')
}

/// The same on one line, without blanks at its end.
#[must_use]
pub fn printable_line(text: &str) -> Cow<'_, str> {
    escape(text.trim_end(), char::is_control)
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if is_escaped(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[2J\nb"), "a\\u{1b}[2J\nb");
        assert_eq!(printable_line("a\nb\n"), "a\\nb");
        assert_eq!(printable("plain ä\n"), "plain ä\n");
    }
}
