//! Colour, where it is wanted.

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// A heading.
    Bold,
    /// Fine print.
    Dim,
    /// As one wishes.
    Good,
    /// To be read.
    Warning,
    /// Not as one wishes.
    Bad,
}

/// Puts colour codes around text, or leaves it alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(bool);

impl Paint {
    pub(super) fn new(color: bool) -> Self {
        Self(color)
    }

    /// The text in a style.
    pub(super) fn on(self, style: Style, text: &str) -> String {
        if !self.0 || text.is_empty() {
            return text.to_owned();
        }
        let code = match style {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Warning => "33",
            Style::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
