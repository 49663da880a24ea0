//! What comes out, and where.

use std::path::PathBuf;

use super::problems::Problems;
use crate::plan::{Lang, OutputPlan, RawPlan, RecordsPolicy};

/// Files, records, language.
pub(super) fn output(raw: &RawPlan, p: &mut Problems) -> OutputPlan {
    let lang = p.read("--lang", raw.lang.as_deref(), Lang::of_locale(), |t| match t {
        "en" => Ok(Lang::En),
        "zh" => Ok(Lang::Zh),
        _ => Err("is not a language I print; choose en or zh".to_owned()),
    });
    let records = p.read("--records", raw.records.as_deref(), RecordsPolicy::Auto, |t| match t {
        "auto" => Ok(RecordsPolicy::Auto),
        "all" => Ok(RecordsPolicy::All),
        "none" => Ok(RecordsPolicy::None),
        _ => Err("is not known; choose auto, all or none".to_owned()),
    });
    if raw.out.as_deref().is_some_and(|dir| dir.trim().is_empty()) {
        p.add("--out", "''", "names no directory");
    }
    OutputPlan {
        dir: raw.out.as_ref().map(PathBuf::from),
        // A directory named and nothing to go into it would surprise.
        save: raw.save || (raw.out.is_some() && !raw.plot),
        plot: raw.plot,
        records,
        lang,
        quiet: raw.quiet,
        color: !raw.no_color,
        allow_invalid: raw.allow_invalid,
    }
}

impl Lang {
    /// The locale's language, by the order that POSIX gives the variables; English when it says nothing.
    pub fn of_locale() -> Self {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|value| !value.is_empty());
        match locale {
            Some(locale) if locale.starts_with("zh") => Self::Zh,
            _ => Self::En,
        }
    }
}
