//! Does a successful answer show the items?

use fluxfleet_proto::failure::FailureKind;

use super::document::{Document, Wanted};
use super::glance::Glance;
use super::http::{Content, content, is_image};
use super::text::excerpt;
use super::{Failed, Verdict};
use crate::drive::{Answer, Failure};

/// Judges the answer to a request for one item.
pub(crate) fn single(answer: &Answer, glance: &Glance) -> Verdict {
    if answer.status.is_success()
        && !is_image(answer)
        && let Some(seen) = glance.item(&answer.body)
    {
        return Verdict::all_ok(1, seen.generation_time);
    }
    let document = match content(answer, Wanted::default()) {
        Ok(Content::Image) => return Verdict::all_ok(1, None),
        Ok(Content::Json(document)) => document,
        Err(failure) => return Verdict::all_failed(1, failure),
    };
    match shows_item(&document) {
        Ok(()) => Verdict::all_ok(1, document.generation_time),
        Err((kind, what)) => Verdict::all_failed(1, failure(answer, kind, &what)),
    }
}

/// Judges the answer to a request for `items` items. The list may hold objects, or strings (URLs or base64);
/// what it holds beyond `items` is ignored.
pub(crate) fn batch(answer: &Answer, items: u32) -> Verdict {
    let document = match content(answer, Wanted { items: Some(items), id_field: None }) {
        Ok(Content::Image) => {
            let what = "an image where a list of items was expected";
            return Verdict::all_failed(items, failure(answer, FailureKind::NotJson, what));
        }
        Ok(Content::Json(document)) => document,
        Err(failure) => return Verdict::all_failed(items, failure),
    };
    let complaint = document.complaint();
    let Some(list) = document.items else {
        let (kind, what) = match complaint {
            Some(what) => (FailureKind::ServiceError, what),
            None => {
                (FailureKind::MissingField, "no list at results, images, data, outputs or output".to_owned())
            }
        };
        return Verdict::all_failed(items, failure(answer, kind, &what));
    };
    let mut verdict = Verdict { generation_time: document.generation_time, ..Verdict::default() };
    let mut add = |kind, what: &dyn Fn() -> String, count: u32| match verdict
        .failed
        .iter_mut()
        .find(|f| f.kind == kind)
    {
        Some(known) => known.items += count,
        None => verdict.failed.push(Failed { items: count, kind, text: failure(answer, kind, &what()).text }),
    };
    let (mut ok, mut given) = (0, 0);
    for (at, item) in (0..items).zip(&list) {
        given += 1;
        match shows_element(item) {
            Ok(()) => ok += 1,
            Err((kind, what)) => add(kind, &|| format!("item {at} of {items}: {what}"), 1),
        }
    }
    let missing = items - given;
    if missing > 0 {
        match complaint {
            Some(what) => {
                add(FailureKind::ServiceError, &|| format!("{given} of {items} items: {what}"), missing);
            }
            None => add(FailureKind::ShortAnswer, &|| format!("{given} of {items} items"), missing),
        }
    }
    verdict.ok = ok;
    verdict
}

fn shows_element(item: &Document) -> Result<(), (FailureKind, String)> {
    if !item.is_object && item.evidence { Ok(()) } else { shows_item(item) }
}

fn shows_item(document: &Document) -> Result<(), (FailureKind, String)> {
    if let Some(what) = document.complaint() {
        return Err((FailureKind::ServiceError, what));
    }
    match (document.is_object, document.evidence) {
        (true, true) => Ok(()),
        (true, false) => Err((FailureKind::MissingField, "no field that shows an item".to_owned())),
        (false, _) => Err((FailureKind::MissingField, "no JSON object".to_owned())),
    }
}

fn failure(answer: &Answer, kind: FailureKind, what: &str) -> Failure {
    Failure { kind, text: format!("{}: {what}: {}", answer.status, excerpt(&answer.body)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use proptest::prelude::*;

    fn answer(body: impl Into<crate::drive::Body>) -> Answer {
        Answer { status: StatusCode::OK, media: "".into(), location: None, body: body.into() }
    }

    fn single(answer: &Answer) -> Verdict {
        super::single(answer, &Glance::default())
    }

    fn kinds(verdict: &Verdict) -> Vec<(String, u32)> {
        verdict.failed.iter().map(|f| (f.kind.to_string(), f.items)).collect()
    }

    #[test]
    fn one_item_needs_evidence_and_no_error() {
        assert_eq!(single(&answer(r#"{"url":"/x"}"#)).ok, 1);
        assert_eq!(kinds(&single(&answer(r#"{"url":"/x","error":"late"}"#))), [("service_error".into(), 1)]);
        assert_eq!(kinds(&single(&answer(r#"{"seed":1}"#))), [("missing_field".into(), 1)]);
        assert_eq!(kinds(&single(&answer("[1]"))), [("missing_field".into(), 1)]);
    }

    #[test]
    fn a_batch_counts_each_of_its_items() {
        let verdict =
            batch(&answer(r#"{"results":[{"url":"a"},{"error":"x"},"http://b",{}],"generation_time":2}"#), 6);
        assert_eq!(verdict.ok, 2);
        let expected = [
            ("service_error".to_owned(), 1),
            ("missing_field".to_owned(), 1),
            ("short_answer".to_owned(), 2),
        ];
        assert_eq!(kinds(&verdict), expected);
        assert!(verdict.generation_time.is_some());
        assert_eq!(batch(&answer(r#"["a","b","c"]"#), 2).ok, 2);
    }

    #[test]
    fn a_batch_without_a_list_fails_as_a_whole() {
        assert_eq!(kinds(&batch(&answer(r#"{"error":"no"}"#), 4)), [("service_error".into(), 4)]);
        assert_eq!(kinds(&batch(&answer(r#"{"url":"a"}"#), 4)), [("missing_field".into(), 4)]);
        assert_eq!(
            kinds(&batch(&answer(r#"{"error":"no","results":[]}"#), 4)),
            [("service_error".into(), 4)]
        );
        assert_eq!(kinds(&batch(&answer("[]"), 4)), [("short_answer".into(), 4)]);
    }

    proptest! {
        #[test]
        fn every_item_of_a_request_is_judged_exactly_once(
            body in "\\PC{0,40}|[\\[\\]{}\":,a-z0-9 ]{0,60}|\\[(\"a\"|null|\\{\"url\":1\\})(,(\"a\"|\\{\\})){0,5}\\]",
            items in 1u32..9,
        ) {
            let judged = |v: &Verdict| v.ok + v.failed.iter().map(|f| f.items).sum::<u32>();
            prop_assert_eq!(judged(&batch(&answer(body.clone()), items)), items);
            prop_assert_eq!(judged(&single(&answer(body))), 1);
        }
    }
}
