//! Text from policies, runtimes and file systems, as it may go to a terminal.

use std::borrow::Cow;

/// Text without what a terminal would obey (escape sequences) or readers would be misled by (text whose
/// direction is turned around, invisible characters); line ends stay.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escape(text, |c| c != '\n' && misleads(c))
}

/// The same on one line, without blanks at its end.
#[must_use]
pub fn printable_line(text: &str) -> Cow<'_, str> {
    escape(text.trim_end(), misleads)
}

/// `escape_debug` also escapes quotes and backslashes, which are harmless.
fn misleads(c: char) -> bool {
    !matches!(c, '"' | '\'' | '\\') && c.escape_debug().len() > 1
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
        assert_eq!(printable("plain ä \"'\\\n"), "plain ä \"'\\\n");
        assert_eq!(printable("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
    }
}
