//! The terminal, the key that ends, and what is no terminal.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::thread;

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

/// Where frames are drawn: in place on a terminal that can, below each other elsewhere. What was changed of the terminal
/// is changed back when this is dropped.
#[derive(Debug)]
pub struct Screen {
    in_place: bool,
    begun: bool,
    before: Option<Termios>,
}

impl Screen {
    /// Standard output. On a terminal the keys q and Q call `quit`, once.
    pub fn open(quit: impl FnOnce() + Send + 'static) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let in_place = io::stdout().is_terminal() && !dumb;
        let before =
            if io::stdin().is_terminal() && io::stdout().is_terminal() { listen(quit) } else { None };
        Self { in_place, begun: false, before }
    }

    /// What to tell about ending.
    pub fn hint(&self) -> &'static str {
        if self.before.is_some() { "q ends" } else { "Ctrl-C ends" }
    }

    /// Shows a frame in place of the one before, cut to the terminal; elsewhere below it.
    ///
    /// # Errors
    /// When standard output takes it no more, as when its reader is gone.
    pub fn draw(&mut self, frame: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let begun = std::mem::replace(&mut self.begun, true);
        if self.in_place {
            let size = tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
            let (rows, columns) = size.map_or((24, 80), |s| (s.ws_row.into(), s.ws_col.into()));
            let clear = if begun { "" } else { "\x1b[2J" };
            write!(out, "{clear}\x1b[H{}\x1b[J", cut(frame, rows, columns))?;
        } else {
            write!(out, "{}{frame}", if begun { "\n" } else { "" })?;
        }
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that is gone needs nothing back.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
        if self.in_place && self.begun {
            let _ = writeln!(io::stdout());
        }
    }
}

/// Has keys come one by one and unseen, and a thread wait for the one that ends. Ctrl-C stays a signal. What the terminal
/// was before; `None` when it does not let itself be changed.
fn listen(quit: impl FnOnce() + Send + 'static) -> Option<Termios> {
    let before = tcgetattr(io::stdin()).ok()?;
    let mut keys = before.clone();
    keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
    keys.special_codes[SpecialCodeIndex::VMIN] = 1;
    keys.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(io::stdin(), OptionalActions::Now, &keys).ok()?;
    let wait = move || {
        if io::stdin().lock().bytes().map_while(Result::ok).any(|key| matches!(key, b'q' | b'Q')) {
            quit();
        }
    };
    // Without a thread Ctrl-C still ends; the thread itself ends with the process.
    let _ = thread::Builder::new().name("keys".to_owned()).spawn(wait);
    Some(before)
}

/// As many lines as there are rows, each no longer than the columns; what was left of a longer line before is cleared.
fn cut(frame: &str, rows: usize, columns: usize) -> String {
    let lines: Vec<&str> = frame.lines().collect();
    let shown = if lines.len() < rows { lines.len() } else { rows.saturating_sub(2) };
    let mut text = String::new();
    for line in &lines[..shown] {
        text.extend(line.chars().take(columns));
        text.push_str("\x1b[K\r\n");
    }
    if shown < lines.len() {
        let more = format!("({} more lines; make the terminal higher)", lines.len() - shown);
        text.extend(more.chars().take(columns));
        text.push_str("\x1b[K");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_to_the_terminal_and_says_so() {
        assert_eq!(cut("abcd\ne\n", 24, 3), "abc\x1b[K\r\ne\x1b[K\r\n");
        let cut = cut("1\n2\n3\n4\n5\n", 4, 80);
        assert_eq!(cut, "1\x1b[K\r\n2\x1b[K\r\n(3 more lines; make the terminal higher)\x1b[K");
    }
}
