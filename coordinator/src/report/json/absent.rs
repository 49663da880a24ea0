//! Fields that are `null`, each with its reason.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::analysis::report::{Missing, Value};
use crate::report::text::EN;

/// Reasons by field.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(super) struct Absent(BTreeMap<&'static str, String>);

impl Absent {
    /// The value of a field; where there is none, its reason is noted.
    pub(super) fn take(&mut self, field: &'static str, value: &Value) -> Option<f64> {
        value.as_ref().map_err(|missing| self.note(field, missing)).ok().copied()
    }

    /// Notes why a field is `null`.
    pub(super) fn note(&mut self, field: &'static str, missing: &Missing) {
        self.0.insert(field, (EN.missing)(missing));
    }
}
