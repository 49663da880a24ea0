//! Colours and marks that colour-blind readers can tell apart.

use plotters::style::RGBColor;

/// Text.
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
/// Fine print.
pub(super) const FAINT: RGBColor = RGBColor(110, 110, 110);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(222, 222, 222);
/// Background.
pub(super) const WHITE: RGBColor = RGBColor(255, 255, 255);
/// Behind a warning.
pub(super) const WARNING: RGBColor = RGBColor(176, 86, 0);
/// Behind an alarm.
pub(super) const ALARM: RGBColor = RGBColor(178, 24, 24);

/// The colours of Okabe and Ito ("Color Universal Design", 2008), those first that stand out on white.
const COLORS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(204, 121, 167),
    RGBColor(80, 80, 80),
    RGBColor(240, 228, 66),
];

/// Shape of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// A disc.
    Disc,
    /// A square.
    Square,
    /// A triangle.
    Triangle,
    /// A diamond.
    Diamond,
    /// A cross.
    Cross,
}

const MARKERS: [Marker; 5] = [Marker::Disc, Marker::Square, Marker::Triangle, Marker::Diamond, Marker::Cross];

/// Drawn and skipped lengths in turn, in pixels; the first draws through.
const DASHES: [&[i32]; 4] = [&[], &[16, 8], &[4, 7], &[16, 7, 4, 7]];

/// How a strategy is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    /// Its colour.
    pub(super) color: RGBColor,
    /// Its points.
    pub(super) marker: Marker,
    /// Its lines: lengths drawn and skipped in turn; empty for a line drawn through.
    pub(super) dash: &'static [i32],
}

/// The look of the strategy at a place in the plan. Cycles of different length: the first 40 differ.
pub(super) fn of(index: usize) -> Look {
    Look {
        color: COLORS[index % COLORS.len()],
        marker: MARKERS[index % MARKERS.len()],
        dash: DASHES[index % DASHES.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_strategies_look_different() {
        for a in 0..12 {
            for b in 0..a {
                assert_ne!(of(a), of(b), "{a} and {b}");
            }
        }
    }
}
