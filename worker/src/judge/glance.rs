//! A look at a short, flat answer that is what it should be.
//!
//! Nearly every answer of a load that goes well is a small JSON object with an item and no complaint. To see just
//! that takes a third of the time that reading a [`Document`](super::document::Document) takes, and at a hundred
//! thousand answers a second that time counts. Whatever is not that plain (nested values, escapes, anything
//! that might be a complaint, anything that is no JSON) is left to the reader that knows everything.

use std::borrow::Cow;

use fluxfleet_proto::units::Micros;

use super::document::is_evidence;
use super::job::State;
use super::peek::Peek;

/// Longest body looked at: in longer ones the time goes into bytes, and there the reader is fast.
const LONGEST: usize = 4096;

/// What was seen of an object with an item and without a complaint.
#[derive(Debug, PartialEq)]
pub(super) struct Item {
    /// `generation_time`.
    pub(super) generation_time: Option<Micros>,
}

/// Whether the body is plainly an object with an item and without a complaint. `None` says nothing.
pub(super) fn item(body: &[u8]) -> Option<Item> {
    if body.len() > LONGEST {
        return None;
    }
    let mut rest = Rest { body, at: 0 };
    let (mut evidence, mut generation_time) = (false, None);
    rest.expect(b'{')?;
    loop {
        let key = rest.string()?;
        rest.expect(b':')?;
        let value = rest.value()?;
        match key {
            b"error" if value != Value::Null => return None,
            b"success" if value != Value::True => return None,
            b"status" | b"state" => match value {
                Value::Text(state) if State::of(text(state)?) != State::Failed => {}
                _ => return None,
            },
            b"generation_time" => {
                let (there, time) = seconds(&value)?;
                evidence |= there;
                generation_time = time;
            }
            key if is_evidence(key) => evidence |= value != Value::Null && value != Value::Text(b""),
            _ => {}
        }
        match rest.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    (evidence && rest.peek().is_none()).then_some(Item { generation_time })
}

/// Whether there is anything in a `generation_time`, and the duration in it. `None` says nothing.
fn seconds(value: &Value<'_>) -> Option<(bool, Option<Micros>)> {
    let (Value::Text(spelled) | Value::Number(spelled)) = value else { return None };
    if let Some(micros) = plain_seconds(spelled) {
        return Some((true, Some(micros)));
    }
    let value = match value {
        Value::Number(number) => Peek::Number(text(number)?.parse().ok()?),
        _ => Peek::Text(Cow::Borrowed(text(spelled)?)),
    };
    Some((value.is_there(), value.seconds()))
}

/// A duration spelled with few digits, such as `1.72s`, `1720ms` or `2`, worked out in whole numbers. `None` says
/// nothing. Rounded to microseconds as floats round it, the reader comes to the same: so few digits leave nothing to
/// round.
fn plain_seconds(spelled: &[u8]) -> Option<Micros> {
    let (number, places) = match spelled {
        [seconds @ .., b'm', b's'] => (seconds, 3_u32),
        [seconds @ .., b's'] => (seconds, 6),
        _ => (spelled, 6),
    };
    if number.len() > 13 {
        return None;
    }
    let (mut value, mut digits, mut decimals) = (0_u64, 0, None);
    for &b in number {
        match b {
            b'0'..=b'9' => {
                value = value * 10 + u64::from(b - b'0');
                digits += 1;
                decimals = decimals.map(|n| n + 1);
            }
            b'.' if digits > 0 && decimals.is_none() => decimals = Some(0),
            _ => return None,
        }
    }
    if digits == 0 || digits > 12 || decimals == Some(0) {
        return None;
    }
    let micros = value * 10_u64.pow(places.checked_sub(decimals.unwrap_or(0))?);
    // Beyond a year it is for the reader to say what that means.
    (micros <= 30_000_000_000_000).then_some(Micros(micros))
}

/// Where, from `from` on, the first byte is that ends a plain string, or makes it one that is not plain: a quote, a
/// backslash, a control character, or anything beyond ASCII.
fn end_of_plain(bytes: &[u8], mut from: usize) -> Option<usize> {
    while let Some(eight) = bytes.get(from..)?.first_chunk() {
        let ends = ends_of_plain(u64::from_le_bytes(*eight));
        if ends != 0 {
            return Some(from + ends.trailing_zeros() as usize / 8);
        }
        from += 8;
    }
    let rest = bytes.get(from..)?;
    Some(from + rest.iter().position(|&b| matches!(b, b'"' | b'\\') || !(b' '..0x7f).contains(&b))?)
}

/// Eight bytes at once: the lowest bit that is set is in the first byte that [ends](end_of_plain) a plain string.
/// (Of a byte below 128, what is below `n` borrows when `n` is taken from it. The byte above it may then be marked
/// wrongly, as may be one above a byte from 128 on; both only above one that is marked rightly. See "Determine if a word
/// has a byte less than n" in Anderson's Bit Twiddling Hacks.)
fn ends_of_plain(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    let below = |word: u64, n: u8| word.wrapping_sub(ONES * u64::from(n));
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let last = word.wrapping_add(ONES);
    (below(word, b' ') | equal(b'"') | equal(b'\\') | last | word) & HIGH
}

fn text(ascii: &[u8]) -> Option<&str> {
    std::str::from_utf8(ascii).ok()
}

/// A value without parts.
#[derive(Debug, PartialEq)]
enum Value<'a> {
    Null,
    True,
    False,
    /// ASCII, without its quotes.
    Text(&'a [u8]),
    /// As it is spelled.
    Number(&'a [u8]),
}

/// What is yet to be looked at: the body from `at` on.
struct Rest<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    /// The next byte that is no blank, left where it is.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.body.get(self.at)? {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// The next byte that is no blank.
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// A string of ASCII without escapes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let end = end_of_plain(self.body, self.at)?;
        let text = self.body.get(self.at..end)?;
        self.at = end + 1;
        (self.body[end] == b'"').then_some(text)
    }

    fn value(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => self.string().map(Value::Text),
            b'n' => self.word(b"null", Value::Null),
            b't' => self.word(b"true", Value::True),
            b'f' => self.word(b"false", Value::False),
            b'-' | b'0'..=b'9' => self.number(),
            _ => None,
        }
    }

    fn word(&mut self, letters: &[u8], value: Value<'a>) -> Option<Value<'a>> {
        self.body[self.at..].starts_with(letters).then_some(())?;
        self.at += letters.len();
        Some(value)
    }

    /// A number without an exponent.
    fn number(&mut self) -> Option<Value<'a>> {
        let from = self.at;
        let negative = self.body.get(from) == Some(&b'-');
        let whole_from = from + usize::from(negative);
        let mut end = self.digits(whole_from);
        let whole = end - whole_from;
        let leading_zero = whole > 1 && self.body[whole_from] == b'0';
        if self.body.get(end) == Some(&b'.') {
            let fraction_from = end + 1;
            end = self.digits(fraction_from);
            if end == fraction_from {
                return None;
            }
        }
        // Longer ones may be beyond what a number holds.
        if whole == 0 || leading_zero || end - from > 40 {
            return None;
        }
        self.at = end;
        Some(Value::Number(&self.body[from..end]))
    }

    /// Where digits end that begin `from` there.
    fn digits(&self, from: usize) -> usize {
        let digits = self.body.get(from..).unwrap_or_default().iter();
        from + digits.take_while(|b| b.is_ascii_digit()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::Wanted;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_plain_answer_is_seen() {
        let flux =
            br#"{"message":"ok", "image_url":"/a.png","generation_time":"1.72s","seed":-7.5,"error":null}"#;
        assert_eq!(item(flux), Some(Item { generation_time: Some(Micros(1_720_000)) }));
        assert_eq!(
            item(b" {\"success\":true,\"status\":\"done\",\"url\":1}\r\n"),
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
            assert_eq!(item(body), None, "{}", body.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn a_plain_string_ends_where_byte_for_byte_it_does(
            bytes in proptest::collection::vec(
                prop_oneof![4 => b'a'..=b'z', 1 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\')], 0..30),
        ) {
            let plain = |b: &u8| (b' '..0x7f).contains(b) && !b"\"\\".contains(b);
            prop_assert_eq!(end_of_plain(&bytes, 0), bytes.iter().position(|b| !plain(b)));
        }

        #[test]
        fn few_digits_come_to_what_floats_come_to(spelled in "[0-9]{0,8}(\\.[0-9]{0,8})?(s|ms|)") {
            if let Some(plain) = plain_seconds(spelled.as_bytes()) {
                prop_assert_eq!(Peek::Text(Cow::Borrowed(&spelled)).seconds(), Some(plain));
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
            if let Some(Item { generation_time }) = item(body.as_bytes()) {
                let read = Wanted::default().read(body.as_bytes()).unwrap();
                prop_assert!(read.is_object && read.evidence, "{}", body);
                prop_assert_eq!(read.complaint(), None);
                prop_assert_eq!(read.generation_time, generation_time);
            }
        }
    }
}
