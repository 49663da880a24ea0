//! A value over time. Pure and exact: points between which it stands still or runs straight, so means and integrals
//! have closed forms.

use serde::{Deserialize, Serialize};

/// A value over time: in the script a number, a list of `[seconds, value]` points (steps), or an object with `points`,
/// `shape` and `repeat_s`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Curve {
    /// At least one; seconds rise.
    points: Vec<[f64; 2]>,
    shape: Shape,
    repeat_s: Option<f64>,
}

/// What a curve does between two points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Keeps the value of the earlier one.
    #[default]
    Step,
    /// Runs straight to the later one.
    Linear,
}

/// A curve as it stands in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Steps(Vec<[f64; 2]>),
    Whole(Whole),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    points: Vec<[f64; 2]>,
    #[serde(default)]
    shape: Shape,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repeat_s: Option<f64>,
}

/// Why points make no curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCurve {
    /// Nothing to hold on to.
    #[error("a curve needs at least one point")]
    Empty,
    /// A second or a value is not a number.
    #[error("a curve's seconds and values must be finite")]
    NotFinite,
    /// Two points are out of order or at the same second.
    #[error("a curve's points must be in the order of their seconds, each at a second of its own")]
    OutOfOrder,
    /// The period does not hold the points.
    #[error("a curve that repeats must have its points at 0 <= seconds < repeat_s")]
    OutsidePeriod,
}

impl Curve {
    /// A curve of checked points.
    ///
    /// # Errors
    /// [`InvalidCurve`].
    pub fn try_new(points: Vec<[f64; 2]>, shape: Shape, repeat_s: Option<f64>) -> Result<Self, InvalidCurve> {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return Err(InvalidCurve::Empty);
        };
        if !points.iter().flatten().chain(&repeat_s).all(|number| number.is_finite()) {
            return Err(InvalidCurve::NotFinite);
        }
        if !points.windows(2).all(|pair| pair[0][0] < pair[1][0]) {
            return Err(InvalidCurve::OutOfOrder);
        }
        if repeat_s.is_some_and(|period| first[0] < 0.0 || last[0] >= period) {
            return Err(InvalidCurve::OutsidePeriod);
        }
        Ok(Self { points, shape, repeat_s })
    }

    /// A value that never changes; what is not a number counts as 0.
    pub fn constant(value: f64) -> Self {
        let value = if value.is_finite() { value } else { 0.0 };
        Self { points: vec![[0.0, value]], shape: Shape::Step, repeat_s: None }
    }

    /// The value at a second. Before the first point it is the first point's, after the last the last one's.
    pub fn at(&self, second: f64) -> f64 {
        let second = self.repeat_s.map_or(second, |period| second.rem_euclid(period));
        let later = self.points.partition_point(|point| point[0] <= second);
        match (later.checked_sub(1).map(|earlier| self.points[earlier]), self.points.get(later)) {
            (None, _) => self.points[0][1],
            (Some([_, value]), None) => value,
            (Some([from, before]), Some([to, after])) => match self.shape {
                Shape::Step => before,
                Shape::Linear => before + (after - before) * (second - from) / (to - from),
            },
        }
    }

    /// The exact integral from one second to another.
    pub fn integral(&self, from: f64, to: f64) -> f64 {
        self.primitive(to) - self.primitive(from)
    }

    /// The exact mean between two seconds; the value itself when they are one.
    pub fn mean(&self, from: f64, to: f64) -> f64 {
        if to > from { self.integral(from, to) / (to - from) } else { self.at(to) }
    }

    /// The integral from 0.
    fn primitive(&self, second: f64) -> f64 {
        let Some(period) = self.repeat_s else {
            return self.area_to(second) - self.area_to(0.0);
        };
        let begin = self.area_to(0.0);
        let turns = (second / period).floor();
        turns * (self.area_to(period) - begin) + self.area_to(second - turns * period) - begin
    }

    /// The integral from the first point, without repetition.
    fn area_to(&self, second: f64) -> f64 {
        let [first, value] = self.points[0];
        if second <= first {
            return (second - first) * value;
        }
        let mut area = 0.0;
        for (at, &[from, before]) in self.points.iter().enumerate() {
            if from >= second {
                break;
            }
            let next = self.points.get(at + 1);
            let to = next.map_or(second, |next| next[0].min(second));
            let mean = match (self.shape, next) {
                (Shape::Linear, Some([end, after])) => {
                    let slope = (after - before) / (end - from);
                    before + slope * (to - from) / 2.0
                }
                _ => before,
            };
            area += mean * (to - from);
        }
        area
    }
}

impl From<f64> for Curve {
    fn from(value: f64) -> Self {
        Self::constant(value)
    }
}

impl TryFrom<Written> for Curve {
    type Error = InvalidCurve;

    fn try_from(written: Written) -> Result<Self, InvalidCurve> {
        match written {
            Written::Number(value) => Self::try_new(vec![[0.0, value]], Shape::Step, None),
            Written::Steps(points) => Self::try_new(points, Shape::Step, None),
            Written::Whole(Whole { points, shape, repeat_s }) => Self::try_new(points, shape, repeat_s),
        }
    }
}

impl From<Curve> for Written {
    fn from(curve: Curve) -> Self {
        let Curve { points, shape, repeat_s } = curve;
        match points[..] {
            [[_, value]] if repeat_s.is_none() => Self::Number(value),
            _ => Self::Whole(Whole { points, shape, repeat_s }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(text: &str) -> Curve {
        serde_json::from_str(text).unwrap()
    }

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9
    }

    #[test]
    fn a_number_is_the_same_always() {
        let curve = curve("7.5");
        assert!(close(curve.at(-3.0), 7.5) && close(curve.at(1e6), 7.5));
        assert!(close(curve.integral(-2.0, 2.0), 30.0));
        assert_eq!(serde_json::to_string(&curve).unwrap(), "7.5");
    }

    #[test]
    fn steps_keep_a_value_until_the_next_point() {
        let curve = curve("[[0, 100], [2, 300], [4, 0]]");
        let values: Vec<f64> = [-1.0, 0.0, 1.99, 2.0, 3.99, 4.0, 9.0].map(|s| curve.at(s)).to_vec();
        assert_eq!(values, [100.0, 100.0, 100.0, 300.0, 300.0, 0.0, 0.0]);
        assert!(close(curve.integral(0.0, 10.0), 800.0));
        assert!(close(curve.mean(1.0, 3.0), 200.0));
        assert!(close(curve.integral(-1.0, 1.0), 200.0));
    }

    #[test]
    fn a_linear_curve_runs_straight_between_points_and_level_outside() {
        let curve = curve(r#"{"points": [[1, 0], [3, 10]], "shape": "linear"}"#);
        let values: Vec<f64> = [0.0, 1.0, 2.0, 3.0, 4.0].map(|s| curve.at(s)).to_vec();
        assert_eq!(values, [0.0, 0.0, 5.0, 10.0, 10.0]);
        assert!(close(curve.integral(0.0, 4.0), 20.0));
        assert!(close(curve.integral(1.5, 2.5), 5.0));
    }

    #[test]
    fn a_curve_that_repeats_has_the_same_integral_in_every_period() {
        let curve = curve(r#"{"points": [[0, 0], [1, 100]], "repeat_s": 4}"#);
        assert!(close(curve.at(0.5), 0.0) && close(curve.at(4.5), 0.0) && close(curve.at(7.0), 100.0));
        assert!(close(curve.at(-0.5), 100.0));
        for turn in -2..3 {
            let begin = f64::from(turn) * 4.0;
            assert!(close(curve.integral(begin, begin + 4.0), 300.0));
        }
        assert!(close(curve.integral(3.0, 5.5), 150.0));
    }

    #[test]
    fn an_integral_is_the_sum_of_its_parts_wherever_it_is_cut() {
        for text in [
            "[[0.3, 5], [1.1, 80], [2.2, 3]]",
            r#"{"points": [[0.3, 5], [1.1, 80], [2.2, 3]], "shape": "linear"}"#,
            r#"{"points": [[0.3, 5], [1.1, 80]], "shape": "linear", "repeat_s": 1.7}"#,
        ] {
            let curve = curve(text);
            let cuts: Vec<f64> = (0..200).map(|n| f64::from(n) * 0.037 - 1.0).collect();
            let sum: f64 = cuts.windows(2).map(|pair| curve.integral(pair[0], pair[1])).sum();
            assert!((sum - curve.integral(cuts[0], cuts[199])).abs() < 1e-6, "{text}");
        }
    }

    #[test]
    fn points_that_make_no_curve_are_refused_with_the_reason() {
        for (text, reason) in [
            ("[]", "at least one point"),
            ("[[1, 2], [1, 3]]", "in the order of their seconds"),
            (r#"{"points": [[0, 1], [5, 2]], "repeat_s": 5}"#, "seconds < repeat_s"),
        ] {
            let error = serde_json::from_str::<Curve>(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
