//! A panel of bars, one below the other: names of any length and number stay apart that way.

use plotters::style::RGBColor;

use super::PlotError;
use super::canvas::{Align, Area, Canvas, fitted, width_of};
use super::palette::{FAINT, GRID, INK, WHITE};

/// What a panel shows.
pub(super) struct Bars {
    /// Heading.
    pub(super) title: &'static str,
    /// Below the heading: unit and direction.
    pub(super) unit: &'static str,
    /// Instead of a bar.
    pub(super) none: &'static str,
    /// From top to bottom.
    pub(super) rows: Vec<Bar>,
}

/// One bar.
pub(super) struct Bar {
    /// Beside it.
    pub(super) name: String,
    /// Its length, not negative, and how it is written; `None` for no bar.
    pub(super) value: Option<(f64, String)>,
    /// Its colour.
    pub(super) color: RGBColor,
}

/// Space at the panel's sides.
const MARGIN: i32 = 40;
/// Widest name.
const NAME_WIDTH: i32 = 250;
/// Space for the widest written value behind the longest bar.
const VALUE_WIDTH: i32 = 110;
/// Height of heading and unit.
const HEAD: i32 = 92;
/// Height of the numbers below.
const FOOT: i32 = 40;
/// Thickest bar.
const BAR_HEIGHT: i32 = 56;
/// Size of names and values.
const SIZE: i32 = 28;

/// Draws the panel.
pub(super) fn draw(canvas: &Canvas<'_>, panel: Area, bars: &Bars) -> Result<(), PlotError> {
    canvas.text(bars.title, (panel.x + MARGIN, panel.y + 28), 36, INK, Align::Left)?;
    canvas.text(bars.unit, (panel.x + MARGIN, panel.y + 62), 24, FAINT, Align::Left)?;
    let names = bars.rows.iter().map(|b| fitted(&b.name, SIZE, NAME_WIDTH)).collect::<Result<Vec<_>, _>>()?;
    let mut name_width = 0;
    for name in &names {
        name_width = name_width.max(width_of(name, SIZE)?);
    }
    let left = panel.x + MARGIN + name_width + 14;
    let plot = Area {
        x: left,
        y: panel.y + HEAD,
        width: panel.x + panel.width - VALUE_WIDTH - MARGIN - left,
        height: panel.height - HEAD - FOOT,
    };
    let longest = bars.rows.iter().filter_map(|b| b.value.as_ref()).map(|v| v.0).fold(0.0, f64::max);
    let axis = Axis::up_to(longest);
    grid(canvas, plot, &axis)?;
    let count = i32::try_from(bars.rows.len()).unwrap_or(i32::MAX).max(1);
    let row = plot.height / count;
    // More strategies than fit at full size get smaller letters rather than overlapping ones.
    let size = SIZE.min(row).max(8);
    let thickness = (row * 7 / 10).clamp(1, BAR_HEIGHT);
    for ((bar, name), i) in bars.rows.iter().zip(&names).zip(0..) {
        let middle = plot.y + row * i + row / 2;
        canvas.text(name, (plot.x - 12, middle), size, INK, Align::Right)?;
        let Some((value, written)) = &bar.value else {
            canvas.text(bars.none, (plot.x + 10, middle), size, FAINT, Align::Left)?;
            continue;
        };
        let length = axis.pixels(*value, plot.width);
        if length > 0 {
            let area = Area { x: plot.x, y: middle - thickness / 2, width: length, height: thickness };
            canvas.rect(area, bar.color)?;
        }
        // The grid would run through the digits.
        let width = width_of(written, size)? + 8;
        let behind = Area { x: plot.x + length + 6, y: middle - 13, width, height: 26 };
        canvas.rect(behind, WHITE)?;
        canvas.text(written, (plot.x + length + 10, middle), size, INK, Align::Left)?;
    }
    canvas.line(&[(plot.x, plot.y), (plot.x, plot.y + plot.height)], INK, 2)
}

fn grid(canvas: &Canvas<'_>, plot: Area, axis: &Axis) -> Result<(), PlotError> {
    for tick in axis.ticks() {
        let x = plot.x + axis.pixels(tick, plot.width);
        canvas.line(&[(x, plot.y), (x, plot.y + plot.height)], GRID, 1)?;
        canvas.text(&axis.written(tick), (x, plot.y + plot.height + 18), 22, FAINT, Align::Middle)?;
    }
    Ok(())
}

/// From zero to the longest bar.
struct Axis {
    longest: f64,
    step: f64,
    decimals: usize,
}

impl Axis {
    /// With steps of 1, 2 or 5 times a power of ten, at most five of them.
    fn up_to(longest: f64) -> Self {
        // Nothing to measure against; a subnormal number would make its power of ten vanish.
        if !longest.is_normal() {
            return Self { longest: 0.0, step: 0.0, decimals: 0 };
        }
        let magnitude = (longest / 5.0).log10().floor();
        let power = 10_f64.powf(magnitude);
        let step = [1.0, 2.0, 5.0]
            .into_iter()
            .map(|m| m * power)
            .find(|step| longest / step <= 5.0)
            .unwrap_or(10.0 * power);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 12")]
        let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
        Self { longest, step, decimals }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> + '_ {
        (0..=5)
            .map(|i| f64::from(i) * self.step)
            .take_while(|t| *t <= self.longest)
            .take(if self.step > 0.0 { 6 } else { 1 })
    }

    fn pixels(&self, value: f64, width: i32) -> i32 {
        if self.longest <= 0.0 {
            return 0;
        }
        #[expect(clippy::cast_possible_truncation, reason = "0 to the width")]
        let pixels = (value / self.longest * f64::from(width)).round() as i32;
        pixels.clamp(0, width)
    }

    fn written(&self, tick: f64) -> String {
        format!("{tick:.*}", self.decimals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(longest: f64) -> Vec<String> {
        let axis = Axis::up_to(longest);
        axis.ticks().map(|t| axis.written(t)).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(written(1.15), ["0.0", "0.5", "1.0"]);
        assert_eq!(written(15.23), ["0", "5", "10", "15"]);
        assert_eq!(written(0.828), ["0.0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(written(0.004), ["0.000", "0.001", "0.002", "0.003", "0.004"]);
        assert_eq!(written(48_000.0), ["0", "10000", "20000", "30000", "40000"]);
    }

    #[test]
    fn an_axis_without_values_divides_by_nothing() {
        assert_eq!(written(0.0), ["0"]);
        assert_eq!(Axis::up_to(0.0).pixels(0.0, 500), 0);
        assert_eq!(Axis::up_to(2.0).pixels(1.0, 500), 250);
    }
}
