//! Drawing in plain pixels. Everything is drawn at twice the size and then halved, which smooths edges and
//! letters better than the drawing library does.

use plotters::backend::{BitMapBackend, DrawingBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, TextStyle};

use super::palette::Marker;
use super::{PlotError, font};

/// How much larger than the picture the drawing is.
const OVERSIZE: i32 = 2;

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    /// Left edge.
    pub(super) x: i32,
    /// Upper edge.
    pub(super) y: i32,
    /// Width.
    pub(super) width: i32,
    /// Height.
    pub(super) height: i32,
}

/// Which end of a text stands at its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Its beginning.
    Left,
    /// Its middle.
    Middle,
    /// Its end.
    Right,
}

/// A surface to draw on.
pub(super) struct Canvas<'a> {
    area: DrawingArea<BitMapBackend<'a>, Shift>,
}

/// The PNG bytes of what `paint` draws on a white picture of this size.
pub(super) fn draw(
    (width, height): (i32, i32),
    paint: impl FnOnce(&Canvas<'_>) -> Result<(), PlotError>,
) -> Result<Vec<u8>, PlotError> {
    font::register()?;
    let (w, h) = (width.unsigned_abs(), height.unsigned_abs());
    let scale = OVERSIZE.unsigned_abs();
    let mut large = vec![255; (w * scale * h * scale * 3) as usize];
    {
        let backend = BitMapBackend::with_buffer(&mut large, (w * scale, h * scale));
        let canvas = Canvas { area: backend.into_drawing_area() };
        paint(&canvas)?;
        canvas.area.present().map_err(drawing)?;
    }
    encode(&halved(&large, w as usize, h as usize), (w, h))
}

/// The library encodes PNG only into a file that it opens by path.
fn encode(pixels: &[u8], size: (u32, u32)) -> Result<Vec<u8>, PlotError> {
    let file = tempfile::Builder::new().suffix(".png").tempfile()?;
    let mut backend = BitMapBackend::new(file.path(), size);
    backend.blit_bitmap((0, 0), size, pixels).map_err(drawing)?;
    backend.present().map_err(drawing)?;
    drop(backend);
    Ok(std::fs::read(file.path())?)
}

/// Each pixel the mean of the four that it stands for.
fn halved(large: &[u8], width: usize, height: usize) -> Vec<u8> {
    let row = width * 2 * 3;
    let mut small = Vec::with_capacity(width * height * 3);
    for (upper, lower) in large.chunks_exact(row * 2).map(|rows| rows.split_at(row)) {
        for (a, b) in upper.chunks_exact(6).zip(lower.chunks_exact(6)) {
            for channel in 0..3 {
                let sum: u16 =
                    [a[channel], a[channel + 3], b[channel], b[channel + 3]].map(u16::from).iter().sum();
                small.push(u8::try_from((sum + 2) / 4).unwrap_or(u8::MAX));
            }
        }
    }
    small
}

fn drawing(error: impl ToString) -> PlotError {
    PlotError::Draw(error.to_string())
}

fn large((x, y): (i32, i32)) -> (i32, i32) {
    (x * OVERSIZE, y * OVERSIZE)
}

impl Canvas<'_> {
    /// A filled rectangle.
    pub(super) fn rect(&self, area: Area, color: RGBColor) -> Result<(), PlotError> {
        let corners = [large((area.x, area.y)), large((area.x + area.width, area.y + area.height))];
        self.area.draw(&Rectangle::new(corners, color.filled())).map_err(drawing)
    }

    /// A line through points.
    pub(super) fn line(&self, points: &[(i32, i32)], color: RGBColor, width: u32) -> Result<(), PlotError> {
        let points: Vec<_> = points.iter().map(|&p| large(p)).collect();
        let style = color.stroke_width(width * OVERSIZE.unsigned_abs());
        self.area.draw(&PathElement::new(points, style)).map_err(drawing)
    }

    /// A line through points, in dashes: lengths drawn and skipped in turn. No dashes: drawn through.
    pub(super) fn dashed(
        &self,
        points: &[(i32, i32)],
        dash: &[i32],
        color: RGBColor,
        width: u32,
    ) -> Result<(), PlotError> {
        if dash.is_empty() {
            return self.line(points, color, width);
        }
        for ends in points.windows(2) {
            for piece in pieces(ends[0], ends[1], dash) {
                self.line(&piece, color, width)?;
            }
        }
        Ok(())
    }

    /// A filled polygon, see-through by `opacity` (0 to 1).
    pub(super) fn polygon(
        &self,
        points: &[(i32, i32)],
        color: RGBColor,
        opacity: f64,
    ) -> Result<(), PlotError> {
        let points: Vec<_> = points.iter().map(|&p| large(p)).collect();
        self.area.draw(&Polygon::new(points, color.mix(opacity).filled())).map_err(drawing)
    }

    /// A point of some shape, about 14 pixels wide.
    pub(super) fn marker(&self, at: (i32, i32), marker: Marker, color: RGBColor) -> Result<(), PlotError> {
        let (x, y) = at;
        match marker {
            Marker::Disc => {
                self.area.draw(&Circle::new(large(at), 7 * OVERSIZE, color.filled())).map_err(drawing)
            }
            Marker::Square => self.rect(Area { x: x - 6, y: y - 6, width: 12, height: 12 }, color),
            Marker::Triangle => self.polygon(&[(x - 8, y + 6), (x + 8, y + 6), (x, y - 9)], color, 1.0),
            Marker::Diamond => self.polygon(&[(x - 9, y), (x, y + 9), (x + 9, y), (x, y - 9)], color, 1.0),
            Marker::Cross => {
                self.line(&[(x - 6, y - 6), (x + 6, y + 6)], color, 4)?;
                self.line(&[(x - 6, y + 6), (x + 6, y - 6)], color, 4)
            }
        }
    }

    /// A line of text whose capitals are centred on the point's height.
    pub(super) fn text(
        &self,
        text: &str,
        (x, y): (i32, i32),
        size: i32,
        color: RGBColor,
        align: Align,
    ) -> Result<(), PlotError> {
        let horizontal = match align {
            Align::Left => HPos::Left,
            Align::Middle => HPos::Center,
            Align::Right => HPos::Right,
        };
        let style = TextStyle::from((font::NAME, size * OVERSIZE).into_font())
            .color(&color)
            .pos(Pos::new(horizontal, VPos::Center));
        // The library centres a line height that the font does not fill: 0.16 of the size too high.
        let (x, y) = large((x, y));
        let y = y + size * OVERSIZE * 4 / 25;
        self.area.draw(&Text::new(printable(text), (x, y), style)).map_err(drawing)
    }
}

/// Pixels that a line of text takes.
pub(super) fn width_of(text: &str, size: i32) -> Result<i32, PlotError> {
    let font = (font::NAME, size * OVERSIZE).into_font();
    let ((left, _), (right, _)) = font.layout_box(&printable(text)).map_err(drawing)?;
    Ok((right - left).div_euclid(OVERSIZE) + 1)
}

/// The text, or where it is wider than `width` its beginning and its end with an ellipsis between: names
/// that are made up from parts differ in either.
pub(super) fn fitted(text: &str, size: i32, width: i32) -> Result<String, PlotError> {
    if width_of(text, size)? <= width {
        return Ok(text.to_owned());
    }
    let chars: Vec<char> = text.chars().collect();
    for kept in (2..chars.len()).rev() {
        let (head, tail) = (kept.div_ceil(2), kept / 2);
        let cut: String = chars[..head].iter().chain(&['…']).chain(&chars[chars.len() - tail..]).collect();
        if width_of(&cut, size)? <= width {
            return Ok(cut);
        }
    }
    Ok("…".to_owned())
}

/// Without control characters, which have no shape.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The drawn pieces of a dashed line between two points.
fn pieces(from: (i32, i32), to: (i32, i32), dash: &[i32]) -> Vec<[(i32, i32); 2]> {
    let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
    let length = dx.hypot(dy);
    #[expect(clippy::cast_possible_truncation, reason = "between two points of the picture")]
    let at = |s: f64| (from.0 + (dx * s / length).round() as i32, from.1 + (dy * s / length).round() as i32);
    let mut pieces = Vec::new();
    let mut done = 0.0;
    for (i, &step) in dash.iter().cycle().enumerate() {
        if done >= length {
            break;
        }
        let next = (done + f64::from(step.max(1))).min(length);
        if i % 2 == 0 {
            pieces.push([at(done), at(next)]);
        }
        done = next;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_stay_between_their_ends() {
        assert_eq!(pieces((0, 0), (10, 0), &[4, 2]), [[(0, 0), (4, 0)], [(6, 0), (10, 0)]]);
        assert!(pieces((3, 3), (3, 3), &[4, 2]).is_empty());
    }

    #[test]
    fn four_pixels_become_their_mean() {
        let pixel = |v: u8| [v, v, v];
        let large = [pixel(0), pixel(100), pixel(200), pixel(100)].concat();
        assert_eq!(halved(&large, 1, 1), pixel(100));
    }
}
