//! The radar: throughput, response time and efficiency of each strategy, each against the best.

use crate::analysis::Report;
use crate::report::text::Texts;

use super::PlotError;
use super::canvas::{Align, Area, Canvas, fitted};
use super::palette::{self, FAINT, GRID, INK};

/// Space at the panel's sides.
const MARGIN: i32 = 40;
/// Widest name in the legend.
const NAME_WIDTH: i32 = 190;
/// Size of the legend's names.
const SIZE: i32 = 26;
/// Length of the rays.
const RADIUS: i32 = 232;

/// Draws the panel.
pub(super) fn draw(
    canvas: &Canvas<'_>,
    panel: Area,
    report: &Report,
    texts: &Texts,
) -> Result<(), PlotError> {
    canvas.text(texts.plot_titles[3], (panel.x + MARGIN, panel.y + 28), 36, INK, Align::Left)?;
    let centre = (panel.x + 250, panel.y + 342);
    web(canvas, centre, texts)?;
    for profile in &report.profiles {
        let Ok(shares) = &profile.shares else { continue };
        let look = palette::of(profile.index);
        let mut points: Vec<_> =
            (0..).zip(shares).map(|(axis, &share)| on_ray(centre, axis, share)).collect();
        canvas.polygon(&points, look.color, 0.06)?;
        points.push(points[0]);
        canvas.dashed(&points, look.dash, look.color, 3)?;
        for &point in &points[1..] {
            canvas.marker(point, look.marker, look.color)?;
        }
    }
    legend(canvas, panel, report, texts)
}

/// A point on a ray; the first ray points up, the others follow clockwise.
fn on_ray((x, y): (i32, i32), axis: u32, share: f64) -> (i32, i32) {
    let angle = std::f64::consts::TAU * f64::from(axis) / 3.0;
    let length = f64::from(RADIUS) * share.clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, reason = "within the panel")]
    let place = |v: f64| v.round() as i32;
    // Rounded through hundredths, so that mirrored points fall on one line.
    let offset = |v: f64| place((v * 100.0).round() / 100.0);
    (x + offset(length * angle.sin()), y + offset(-length * angle.cos()))
}

fn web(canvas: &Canvas<'_>, centre: (i32, i32), texts: &Texts) -> Result<(), PlotError> {
    for share in [0.25, 0.5, 0.75, 1.0] {
        let ring: Vec<_> = [0, 1, 2, 0].map(|axis| on_ray(centre, axis, share)).into();
        canvas.line(&ring, GRID, 2)?;
        let (x, y) = on_ray(centre, 0, share);
        canvas.text(&format!("{share}"), (x - 8, y + 14), 18, FAINT, Align::Right)?;
    }
    for axis in 0..3 {
        canvas.line(&[centre, on_ray(centre, axis, 1.0)], GRID, 2)?;
    }
    let [(x0, y0), (x1, y1), (x2, y2)] = [0, 1, 2].map(|axis| on_ray(centre, axis, 1.0));
    let [up, right, left] = texts.plot_axes;
    canvas.text(up, (x0, y0 - 24), SIZE, INK, Align::Middle)?;
    canvas.text(right, (x1 + 30, y1 + 28), SIZE, INK, Align::Right)?;
    canvas.text(left, (x2 - 30, y2 + 28), SIZE, INK, Align::Left)
}

fn legend(canvas: &Canvas<'_>, panel: Area, report: &Report, texts: &Texts) -> Result<(), PlotError> {
    let count = i32::try_from(report.profiles.len()).unwrap_or(i32::MAX).max(1);
    let row = ((panel.height - 100) / count).clamp(1, 40);
    let size = SIZE.min(row).max(8);
    let left = panel.x + panel.width - NAME_WIDTH - MARGIN - 78;
    for (profile, i) in report.profiles.iter().zip(0..) {
        let y = panel.y + 90 + row * i;
        let look = palette::of(profile.index);
        let mut name = profile.strategy.clone();
        let color = if profile.shares.is_ok() {
            canvas.dashed(&[(left, y), (left + 60, y)], look.dash, look.color, 3)?;
            canvas.marker((left + 30, y), look.marker, look.color)?;
            INK
        } else {
            canvas.text(texts.plot_none, (left + 30, y), size, FAINT, Align::Middle)?;
            FAINT
        };
        name = fitted(&name, size, NAME_WIDTH)?;
        canvas.text(&name, (left + 74, y), size, color, Align::Left)?;
    }
    Ok(())
}
