//! Text from anywhere, made fit for the frame.

use unicode_width::UnicodeWidthStr as _;

use super::FRAME;

/// Columns that one text may take in all, over several lines.
const TEXT_COLUMNS: usize = 500;

/// Text from outside, made safe for one line of a terminal: control characters, escape codes among them,
/// become spaces, and what is longer than `columns` is cut with an ellipsis.
pub(super) fn plain(text: &str, columns: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if clean.width() <= columns {
        return clean;
    }
    let mut cut = String::new();
    for c in clean.chars() {
        cut.push(c);
        if cut.width() > columns.saturating_sub(3) {
            cut.pop();
            break;
        }
    }
    cut + "..."
}

/// A text from anywhere in lines that fit the frame, the first of which begins with `first`.
pub(super) fn paragraph(first: &str, text: &str) -> Vec<String> {
    wrapped(first, &plain(text, TEXT_COLUMNS), FRAME)
}

/// The text in lines of at most `columns` where its spaces allow it; the first begins with `first`, the others
/// are indented as far. A word is never broken: it may be a path to copy.
fn wrapped(first: &str, text: &str, columns: usize) -> Vec<String> {
    let indent = " ".repeat(first.width());
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut fresh = true;
    for word in text.split(' ') {
        if !fresh && line.width() + 1 + word.width() > columns {
            lines.push(std::mem::replace(&mut line, indent.clone()));
            fresh = true;
        }
        if !fresh {
            line.push(' ');
        }
        line.push_str(word);
        fresh = false;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_cannot_leave_its_line() {
        assert_eq!(plain("a\n\x1b[31mb\tc", 40), "a [31mb c");
        let cut = plain(&"吞".repeat(40), 20);
        assert!(cut.width() <= 20 && cut.ends_with("..."), "{cut}");
    }

    #[test]
    fn lines_break_at_spaces_and_stay_within_their_columns() {
        assert_eq!(wrapped("- ", "one two three", 9), ["- one two", "  three"]);
        assert_eq!(wrapped("- ", "运行被停止, 没有采样", 14), ["- 运行被停止,", "  没有采样"]);
        assert_eq!(wrapped("- ", "a/word/longer/than/that", 9), ["- a/word/longer/than/that"]);
        assert_eq!(wrapped("- ", "", 9), ["- "]);
    }
}
