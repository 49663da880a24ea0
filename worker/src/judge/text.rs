//! Bodies made printable.

use crate::drive::Answer;

/// Characters of a body that a failure text shows.
const EXCERPT_CHARS: usize = 200;

/// The beginning of a body in printable characters; ` ..` marks that there is more.
pub(crate) fn excerpt(body: &[u8]) -> String {
    // Four bytes are the most that a character takes.
    let head = &body[..body.len().min(EXCERPT_CHARS * 4)];
    let text = String::from_utf8_lossy(head);
    let mut shown = String::new();
    let mut space = false;
    let mut taken = 0;
    for c in text.chars() {
        if taken == EXCERPT_CHARS {
            break;
        }
        if c.is_whitespace() {
            space = !shown.is_empty();
            continue;
        }
        if std::mem::take(&mut space) {
            shown.push(' ');
        }
        shown.push(if c.is_control() { '\u{fffd}' } else { c });
        taken += 1;
    }
    if taken == EXCERPT_CHARS || body.len() > head.len() {
        shown.push_str(" ..");
    }
    shown
}

/// Status and body of an answer in one line.
pub(super) fn of_answer(answer: &Answer) -> String {
    if answer.body.is_empty() {
        format!("{}, no body", answer.status)
    } else {
        format!("{}: {}", answer.status, excerpt(&answer.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_printable_line_of_bounded_length() {
        assert_eq!(excerpt(b"  a\r\n\tb\x00c \xff "), "a b\u{fffd}c \u{fffd}");
        assert_eq!(excerpt("猫".repeat(500).as_bytes()).chars().count(), 203);
        assert_eq!(excerpt(b""), "");
    }
}
