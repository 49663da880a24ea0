//! A table whose columns line up on the screen, whatever the script.

use unicode_width::UnicodeWidthStr as _;

use super::paint::{Paint, Style};

/// Spaces between two columns at least.
const GAP: usize = 2;

/// A table under construction.
pub(super) struct Table {
    widths: Vec<usize>,
    head: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    cells: Vec<String>,
    style: Option<Style>,
}

impl Table {
    /// A table with these headings, its columns at least so wide.
    pub(super) fn new<const N: usize>(head: [&str; N], least: [usize; N]) -> Self {
        let widths = head.iter().zip(least).map(|(h, least)| least.max(h.width() + GAP)).collect();
        Self { widths, head: head.map(str::to_owned).into(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N], style: Option<Style>) {
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.width() + GAP);
        }
        self.rows.push(Row { cells: cells.into(), style });
    }

    /// Columns on the screen.
    pub(super) fn width(&self) -> usize {
        self.widths.iter().sum()
    }

    /// Headings, a rule, and the rows.
    pub(super) fn lines(&self, rule: &str, paint: Paint) -> Vec<String> {
        let mut lines = vec![paint.on(Style::Bold, &self.line(&self.head)), rule.to_owned()];
        lines.extend(self.rows.iter().map(|row| {
            let line = self.line(&row.cells);
            row.style.map_or(line.clone(), |style| paint.on(style, &line))
        }));
        lines
    }

    fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&self.widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width())));
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_under_chinese_headings_and_names() {
        let mut table = Table::new(["策略", "吞吐量"], [8, 8]);
        table.row(["基准策略一".into(), "1".into()], None);
        table.row(["a".into(), "2".into()], None);
        let lines = table.lines("--", Paint::new(false));
        let place = |line: &str, of: &str| line[..line.find(of).expect("there")].width();
        assert_eq!(place(&lines[0], "吞"), 12);
        assert_eq!(place(&lines[2], "1"), 12);
        assert_eq!(place(&lines[3], "2"), 12);
        assert_eq!(table.width(), 20);
    }
}
