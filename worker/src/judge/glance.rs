//! A look at a short, flat answer that is what it should be.
//!
//! Nearly every answer of a load that goes well is a small JSON object with an item and no complaint. To see just
//! that takes a fraction of the time that reading a [`Document`](super::document::Document) takes, and at a hundred
//! thousand answers a second that time counts. Whatever is not that plain (nested values, escapes, anything
//! that might be a complaint, anything that is no JSON) is left to the reader that knows everything.
//!
//! The answers of one service mostly have one form: the same keys in the same order, with other texts and numbers. The
//! form of the last one is remembered. Where it fits, what its keys mean is known, and only what differs is looked at.

use std::cell::RefCell;
use std::ops::Range;

use fluxfleet_proto::units::Micros;

use super::document::is_evidence;
use super::job::State;
use super::plain::{Rest, Value, ascii};

/// Longest body looked at: in longer ones the time goes into bytes, and there the reader is fast.
const LONGEST: usize = 4096;

/// What was seen of an object with an item and without a complaint.
#[derive(Debug, PartialEq)]
pub(super) struct Item {
    /// `generation_time`.
    pub(super) generation_time: Option<Micros>,
}

/// One load thread's look at its answers.
#[derive(Debug, Default)]
pub(crate) struct Glance {
    last: RefCell<Form>,
}

impl Glance {
    /// Whether the body is plainly an object with an item and without a complaint. `None` says nothing.
    pub(super) fn item(&self, body: &[u8]) -> Option<Item> {
        if body.len() > LONGEST {
            return None;
        }
        let mut form = self.last.borrow_mut();
        form.again(body).or_else(|| form.learn(body))
    }
}

/// The form of an answer: its text, and the places in it where others of this form have other texts or numbers.
#[derive(Debug, Default)]
struct Form {
    text: Vec<u8>,
    places: Vec<Place>,
    /// What is the same in all of them shows an item.
    evident: bool,
}

#[derive(Debug)]
struct Place {
    /// Where in the form's text; of a string, between its quotes.
    at: Range<usize>,
    is_text: bool,
    means: Meaning,
}

/// What a value tells, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Nothing that matters.
    Nothing,
    /// An item, unless it is null or empty.
    Evidence,
    /// A complaint, unless it is null.
    Error,
    /// A complaint, unless it is true.
    Success,
    /// A complaint, if it is one of a job that failed.
    State,
    /// The generation's time, and an item if there is anything in it.
    Time,
}

impl Meaning {
    fn of(key: &[u8]) -> Self {
        match key {
            b"error" => Self::Error,
            b"success" => Self::Success,
            b"status" | b"state" => Self::State,
            b"generation_time" => Self::Time,
            key if is_evidence(key) => Self::Evidence,
            _ => Self::Nothing,
        }
    }
}

/// What was seen of an answer so far.
#[derive(Debug, Default)]
struct Seen {
    evidence: bool,
    generation_time: Option<Micros>,
}

impl Seen {
    /// Takes in a value. `None`: it is not plainly right.
    fn take(&mut self, means: Meaning, value: Value<'_>) -> Option<()> {
        match (means, value) {
            (Meaning::Nothing, _) | (Meaning::Error, Value::Null) | (Meaning::Success, Value::True) => {}
            (Meaning::Evidence, value) => {
                self.evidence |= !matches!(value, Value::Null | Value::Text([]));
            }
            (Meaning::State, Value::Text(state)) if State::of(ascii(state)?) != State::Failed => {}
            (Meaning::Time, value) => {
                let (there, time) = value.seconds()?;
                self.evidence |= there;
                self.generation_time = time;
            }
            (Meaning::Error | Meaning::Success | Meaning::State, _) => return None,
        }
        Some(())
    }

    fn item(self) -> Option<Item> {
        self.evidence.then_some(Item { generation_time: self.generation_time })
    }
}

impl Form {
    /// Looks at a body of this form. `None`: it has another one, or is not plainly right.
    fn again(&self, body: &[u8]) -> Option<Item> {
        let mut rest = Rest::of(body);
        let mut seen = Seen { evidence: self.evident, generation_time: None };
        let mut from = 0;
        for Place { at, is_text, means } in &self.places {
            rest.skip(&self.text[from..at.start])?;
            from = at.end;
            let value = if *is_text { Value::Text(rest.text()?) } else { rest.number()? };
            let is_known = match means {
                Meaning::Nothing => true,
                // One that was right once is so again.
                Meaning::State => value == Value::Text(&self.text[at.clone()]),
                _ => false,
            };
            if !is_known {
                seen.take(*means, value)?;
            }
        }
        seen.item().filter(|_| rest.is(&self.text[from..]))
    }

    /// Looks at a body of any form, and remembers it if it is plainly right.
    fn learn(&mut self, body: &[u8]) -> Option<Item> {
        self.forget();
        let item = self.look(body);
        match item {
            Some(_) => self.text.extend_from_slice(body),
            None => self.forget(),
        }
        item
    }

    /// No body that shows an item has the form of none.
    fn forget(&mut self) {
        let Self { text, places, evident } = self;
        text.clear();
        places.clear();
        *evident = false;
    }

    fn look(&mut self, body: &[u8]) -> Option<Item> {
        let mut rest = Rest::of(body);
        let mut seen = Seen::default();
        rest.expect(b'{')?;
        loop {
            let means = Meaning::of(rest.string()?);
            rest.expect(b':')?;
            let value = rest.value()?;
            seen.take(means, value)?;
            let place = match value {
                Value::Text(text) => Some((true, rest.at() - 1 - text.len()..rest.at() - 1)),
                Value::Number(number) => Some((false, rest.at() - number.len()..rest.at())),
                Value::Null | Value::True | Value::False => {
                    self.evident |= means == Meaning::Evidence && value != Value::Null;
                    None
                }
            };
            self.places.extend(place.map(|(is_text, at)| Place { at, is_text, means }));
            match rest.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        seen.item().filter(|_| rest.peek().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::Wanted;
    use super::*;
    use proptest::prelude::*;

    fn fresh(body: &[u8]) -> Option<Item> {
        Glance::default().item(body)
    }

    #[test]
    fn a_plain_answer_is_seen() {
        let flux =
            br#"{"message":"ok", "image_url":"/a.png","generation_time":"1.72s","seed":-7.5,"error":null}"#;
        assert_eq!(fresh(flux), Some(Item { generation_time: Some(Micros(1_720_000)) }));
        assert_eq!(
            fresh(b" {\"success\":true,\"status\":\"done\",\"url\":1}\r\n"),
            Some(Item { generation_time: None })
        );
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_reader() {
        for body in [
            &br#"{"url":"a\n"}"#[..],
            br#"{"url":"x","error":"late"}"#,
            br#"{"url":"x","success":false}"#,
            br#"{"url":"x","status":"FAILED"}"#,
            br#"{"url":["x"]}"#,
            br#"{"url":""}"#,
            br#"{"url":"x"} y"#,
            br#"{"url":"x",}"#,
            br#"{"url":"x""#,
            br#"{"url":01}"#,
            br#"{"url":1.}"#,
            br#"{"url":1e5}"#,
            br#"{"url":nul}"#,
            br#"{"url":truefalse}"#,
            br"[]",
            b"",
            "{\"url\":\"\u{e9}\"}".as_bytes(),
        ] {
            assert_eq!(fresh(body), None, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn an_answer_is_what_its_own_bytes_say_whatever_came_before() {
        let seen = [
            r#"{"url":"/a","seed":1,"generation_time":"1.5s","state":"done"}"#,
            r#"{"url":"/ab","seed":-22.5,"generation_time":"2s","state":"ready"}"#,
            r#"{"url":"/a","seed":1,"generation_time":"","state":"done"}"#,
            r#"{"url":"/a","seed":1,"generation_time":"1.5s","state":"failed"}"#,
            r#"{"url":"","seed":1,"generation_time":"","state":"done"}"#,
            r#"{"url":"/a
","seed":1,"generation_time":"1.5s","state":"done"}"#,
            r#"{"url":"/a","seed":01,"generation_time":"1.5s","state":"done"}"#,
            r#"{"url":"/a","seed":"1","generation_time":"1.5s","state":"done"}"#,
            r#"{"url":"/a","seed":1,"generation_time":"1.5s","state":"done"},"#,
            r#"{"url":"/a","seed":1,"generation_time":"1.5s","state":"done""#,
            r#"{"url":"","seed":1,"result":true}"#,
            r#"{"url":"","seed":1,"result":null}"#,
            r#"{"url":"/a","error":null}"#,
            r#"{"url":"/a","error":"late"}"#,
            r#"{"url":7,"success":true}"#,
            r#"{"url":7,"success":false}"#,
            "{}",
            "",
        ];
        for (before, after) in seen.iter().flat_map(|a| seen.iter().map(move |b| (a, b))) {
            let glance = Glance::default();
            glance.item(before.as_bytes());
            assert_eq!(glance.item(after.as_bytes()), fresh(after.as_bytes()), "{after} after {before}");
        }
    }

    #[test]
    fn an_answer_of_the_last_ones_form_is_not_read_key_by_key() {
        let first = br#"{ "url" : "/a", "seed":1,"error":null, "generation_time":1.5 }"#;
        let mut form = Form::default();
        assert_eq!(form.again(first), None);
        let read = form.learn(first);
        assert!(read.is_some());
        assert_eq!(form.again(first), read);
        let other = br#"{ "url" : "/longer", "seed":-20.5,"error":null, "generation_time":2 }"#;
        assert_eq!(form.again(other), Some(Item { generation_time: Some(Micros(2_000_000)) }));
        assert_eq!(form.again(br#"{"url":"/a","seed":1,"error":null,"generation_time":1.5}"#), None);
    }

    proptest! {
        #[test]
        fn what_is_seen_of_one_form_is_what_the_reader_reads(
            keys in proptest::collection::vec("error|success|status|message|url|generation_time|seed", 1..6),
            values in proptest::collection::vec(
                "null|true|\"\"|\"[a-z]{1,12}\"|\"1.5s\"|\"failed\"|0|2.25|-?[0-9]{1,9}|[0-9.]{1,4}|\"\\\\n\"", 12),
        ) {
            let glance = Glance::default();
            for values in values.chunks(keys.len()).filter(|values| values.len() == keys.len()) {
                let fields: Vec<_> = keys.iter().zip(values).map(|(k, v)| format!("\"{k}\":{v}")).collect();
                let body = format!("{{{}}}", fields.join(","));
                let seen = glance.item(body.as_bytes());
                prop_assert_eq!(&seen, &fresh(body.as_bytes()), "{}", body);
                if let Some(Item { generation_time }) = seen {
                    let read = Wanted::default().read(body.as_bytes()).unwrap();
                    prop_assert!(read.is_object && read.evidence, "{}", body);
                    prop_assert_eq!(read.complaint(), None);
                    prop_assert_eq!(read.generation_time, generation_time);
                }
            }
        }

        #[test]
        fn what_is_seen_is_what_the_reader_reads(
            fields in proptest::collection::vec(
                ("error|success|status|state|message|url|data|generation_time|seed|x",
                 "null|true|false|\"\"|\"x\"|\"1.5s\"|\"failed\"|\"done\"|0|-1|2.25|1e3|[0-9]{1,25}|-?[0-9.]{1,5}|[a-z\"{}\\[\\]]{1,4}"),
                0..6),
            tail in "|\\}| |\\} |,",
        ) {
            let fields: Vec<_> = fields.iter().map(|(key, value)| format!("\"{key}\" : {value}")).collect();
            let body = format!("{{{}{tail}", fields.join(","));
            if let Some(Item { generation_time }) = fresh(body.as_bytes()) {
                let read = Wanted::default().read(body.as_bytes()).unwrap();
                prop_assert!(read.is_object && read.evidence, "{}", body);
                prop_assert_eq!(read.complaint(), None);
                prop_assert_eq!(read.generation_time, generation_time);
            }
        }
    }
}
