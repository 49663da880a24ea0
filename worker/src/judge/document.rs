//! The few fields of an answer that matter.
//!
//! A body may hold megabytes of base64. It is read in place: strings that only have to be there are looked at
//! for being empty and then passed over, everything unknown is skipped.

use std::fmt;

use fluxfleet_proto::units::Micros;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::job::State;
use super::peek::{Name, Peek};

/// Whether this field shows that an answer holds an item, as `generation_time` does too. A match and no list:
/// each field of each answer comes by here, and a match looks at the length first.
pub(super) fn is_evidence(key: &[u8]) -> bool {
    matches!(
        key,
        b"image_url"
            | b"download_url"
            | b"url"
            | b"filename"
            | b"image"
            | b"images"
            | b"image_base64"
            | b"b64_json"
            | b"data"
            | b"output"
            | b"outputs"
            | b"result"
            | b"results"
    )
}

/// Where a batch answer holds its items, in the order of looking.
const LISTS: [&str; 5] = ["results", "images", "data", "outputs", "output"];

fn rank(key: &str) -> Option<usize> {
    LISTS.iter().position(|list| *list == key)
}

/// What was read off one JSON object.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Document {
    /// It was an object at all.
    pub(crate) is_object: bool,
    /// A field that shows an item is there and not empty.
    pub(crate) evidence: bool,
    /// `error`, when there is something in it.
    pub(crate) error: Option<String>,
    /// `success: false`.
    pub(crate) denied: bool,
    /// `status`, else `state`.
    pub(crate) state: Option<String>,
    /// `message` or `detail`, for failure texts.
    pub(crate) message: Option<String>,
    /// `generation_time`.
    pub(crate) generation_time: Option<Micros>,
    /// The field named as the id field, when it is a string or a whole number.
    pub(crate) id: Option<String>,
    /// `status_url`.
    pub(crate) status_url: Option<String>,
    /// The batch's items, when lists were asked for.
    pub(crate) items: Option<Vec<Document>>,
}

impl Document {
    /// What the object itself says went wrong.
    pub(crate) fn complaint(&self) -> Option<String> {
        let said = |fallback: &str| self.message.clone().unwrap_or_else(|| fallback.to_owned());
        if let Some(error) = &self.error {
            return Some(error.clone());
        }
        if self.denied {
            return Some(said("success is false"));
        }
        let state = self.state.as_deref().filter(|s| State::of(s) == State::Failed)?;
        Some(said(&format!("status is {state}")))
    }
}

/// What to look for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// Read the items of a batch, and of its list no more than this many: a body can hold millions.
    pub(crate) items: Option<u32>,
    /// Read this field as the job's id.
    pub(crate) id_field: Option<&'a str>,
}

impl Wanted<'_> {
    /// Reads a whole body.
    ///
    /// # Errors
    /// serde_json's own, for what is not JSON.
    pub(crate) fn read(self, body: &[u8]) -> Result<Document, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let document = self.deserialize(&mut json)?;
        json.end()?;
        Ok(document)
    }
}

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Document;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Document, D::Error> {
        json.deserialize_any(self)
    }
}

/// Scalars where an object is expected are passed over.
macro_rules! scalars {
    ($($method:ident($type:ty)),*) => {
        $(fn $method<E>(self, _: $type) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        })*
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    scalars!(visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64));

    /// A non-empty string is an item by itself: a URL, or base64.
    fn visit_str<E>(self, s: &str) -> Result<Document, E> {
        Ok(Document { evidence: !s.is_empty(), ..Document::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Document, A::Error> {
        if let Some(most) = self.items {
            return Ok(Document { items: Some(elements(seq, most)?), ..Document::default() });
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Document::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut found = Document { is_object: true, ..Document::default() };
        // The list found so far and its place in the order of looking.
        let mut list: Option<(usize, Vec<Document>)> = None;
        while let Some(Name(key)) = map.next_key()? {
            let key = &*key;
            if self.id_field == Some(key) {
                found.id = map.next_value::<Peek<'_>>()?.scalar();
                continue;
            }
            match key {
                "error" => found.error = map.next_value::<Peek<'_>>()?.complaint(),
                "success" => found.denied = map.next_value::<Peek<'_>>()? == Peek::Bool(false),
                "status" => found.state = map.next_value::<Peek<'_>>()?.string().or(found.state),
                "state" => {
                    let state = map.next_value::<Peek<'_>>()?.string();
                    found.state = found.state.or(state);
                }
                "message" | "detail" => {
                    let text = map.next_value::<Peek<'_>>()?.complaint();
                    found.message = found.message.or(text);
                }
                "status_url" => found.status_url = map.next_value::<Peek<'_>>()?.string(),
                "generation_time" => {
                    let value = map.next_value::<Peek<'_>>()?;
                    found.evidence |= value.is_there();
                    found.generation_time = value.seconds();
                }
                _ => match self.items.and_then(|most| Some((rank(key)?, most))) {
                    Some((rank, most)) => {
                        if let Some(items) = map.next_value_seed(List { most })? {
                            let better = |(r, held): &(usize, Vec<Document>)| {
                                (held.is_empty(), *r) > (items.is_empty(), rank)
                            };
                            if list.as_ref().is_none_or(better) {
                                list = Some((rank, items));
                            }
                        }
                    }
                    None if is_evidence(key.as_bytes()) => {
                        found.evidence |= map.next_value::<Peek<'_>>()?.is_there();
                    }
                    None => {
                        map.next_value::<IgnoredAny>()?;
                    }
                },
            }
        }
        found.items = list.map(|(_, items)| items);
        Ok(found)
    }
}

fn elements<'de, A: SeqAccess<'de>>(mut seq: A, most: u32) -> Result<Vec<Document>, A::Error> {
    let mut items = Vec::new();
    for _ in 0..most {
        match seq.next_element_seed(Wanted::default())? {
            Some(item) => items.push(item),
            None => return Ok(items),
        }
    }
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(items)
}

/// A value that may be a list of items.
struct List {
    most: u32,
}

impl<'de> DeserializeSeed<'de> for List {
    type Value = Option<Vec<Document>>;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List {
    type Value = Option<Vec<Document>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    scalars!(visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        elements(seq, self.most).map(Some)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Document {
        Wanted { items: Some(9), id_field: Some("request_id") }.read(json.as_bytes()).unwrap()
    }

    #[test]
    fn the_flux_answer_is_read() {
        let d =
            read(r#"{"message":"ok","image_url":"/a.png","generation_time":"1.72s","seed":7,"error":null}"#);
        assert!(d.is_object && d.evidence && d.complaint().is_none());
        assert_eq!(d.generation_time, Some(Micros(1_720_000)));
    }

    #[test]
    fn empty_fields_show_nothing() {
        for json in
            [r#"{"url":null}"#, r#"{"url":""}"#, r#"{"output":[]}"#, r#"{"result":{}}"#, "{}", "3", "null"]
        {
            assert!(!Wanted::default().read(json.as_bytes()).unwrap().evidence, "{json}");
        }
        assert!(Wanted::default().read(br#"{"images":["x"]}"#).unwrap().evidence);
    }

    #[test]
    fn an_error_is_found_in_each_of_its_forms() {
        for (json, text) in [
            (r#"{"error":"no memory"}"#, "no memory"),
            (r#"{"error":{"code":3,"message":"no memory"}}"#, "no memory"),
            (r#"{"error":["no memory"]}"#, "an error without words"),
            (r#"{"success":false,"message":"busy"}"#, "busy"),
            (r#"{"status":"FAILED","detail":"busy"}"#, "busy"),
            (r#"{"status":"error"}"#, "status is error"),
        ] {
            assert_eq!(read(json).complaint().as_deref(), Some(text), "{json}");
        }
        for json in [r#"{"error":""}"#, r#"{"error":{}}"#, r#"{"error":false}"#, r#"{"success":true}"#] {
            assert_eq!(read(json).complaint(), None, "{json}");
        }
    }

    #[test]
    fn the_items_of_a_batch_are_the_first_list_that_holds_any() {
        let d = read(r#"{"images":["a","b"],"results":[],"data":[{"url":"x"}]}"#);
        assert_eq!(d.items.as_ref().map(Vec::len), Some(2));
        assert_eq!(read(r#"[{"url":"x"},{"error":"y"},null]"#).items.map(|i| i.len()), Some(3));
        assert_eq!(read(r#"{"results":{"a":1}}"#).items, None);
        assert_eq!(read(r#"{"results":[]}"#).items, Some(vec![]));
    }

    #[test]
    fn ids_may_be_strings_or_numbers() {
        assert_eq!(read(r#"{"request_id":"a-1"}"#).id.as_deref(), Some("a-1"));
        assert_eq!(read(r#"{"request_id":17}"#).id.as_deref(), Some("17"));
        assert_eq!(read(r#"{"request_id":null}"#).id, None);
    }

    #[test]
    fn what_follows_the_document_is_an_error() {
        assert!(Wanted::default().read(br#"{"url":"x"} trailing"#).is_err());
        assert!(Wanted::default().read(br#"{"url":"x""#).is_err());
        assert!(Wanted::default().read(&b"[".repeat(100_000)).is_err(), "depth is limited");
    }
}
