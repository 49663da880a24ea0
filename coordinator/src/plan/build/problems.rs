//! Problems as they are collected: nothing given is skipped because something before it was wrong.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Problem;
use crate::plan::text;

/// All problems so far.
#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, place: &str, given: impl Into<String>, trouble: impl Into<String>) {
        self.0.push(Problem { place: place.to_owned(), given: given.into(), trouble: trouble.into() });
    }

    /// The parsed value, or the default with the problem noted.
    pub(super) fn read<T>(
        &mut self,
        place: &str,
        given: Option<&str>,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        let Some(given) = given else { return default };
        match parse(given) {
            Ok(value) => value,
            Err(trouble) => {
                self.add(place, if given.is_empty() { "''" } else { given }, trouble);
                default
            }
        }
    }

    pub(super) fn count(&mut self, place: &str, given: Option<&str>, default: u32, max: u64) -> NonZeroU32 {
        let n = self.read(place, given, u64::from(default), |t| text::number(t, 1, max));
        u32::try_from(n).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
    }

    pub(super) fn duration(
        &mut self,
        place: &str,
        given: Option<&str>,
        default: Duration,
        min: Duration,
        max: Duration,
    ) -> Duration {
        self.read(place, given, default, |t| text::duration(t, min, max))
    }
}
