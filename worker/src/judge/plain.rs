//! Plain JSON, piece by piece: strings of ASCII without escapes, numbers without exponents, words.
//!
//! Whatever is not that plain, or no JSON, is `None`.

use std::borrow::Cow;

use fluxfleet_proto::units::Micros;

use super::peek::Peek;

/// A value without parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    True,
    False,
    /// ASCII, without its quotes.
    Text(&'a [u8]),
    /// As it is spelled.
    Number(&'a [u8]),
}

impl Value<'_> {
    /// Whether there is anything in it, as a duration, and the duration. `None` says nothing.
    pub(super) fn seconds(self) -> Option<(bool, Option<Micros>)> {
        let (Self::Text(spelled) | Self::Number(spelled)) = self else { return None };
        if let Some(micros) = plain_seconds(spelled) {
            return Some((true, Some(micros)));
        }
        let value = match self {
            Self::Number(number) => Peek::Number(ascii(number)?.parse().ok()?),
            _ => Peek::Text(Cow::Borrowed(ascii(spelled)?)),
        };
        Some((value.is_there(), value.seconds()))
    }
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

/// As text, which all of it is that is plain.
pub(super) fn ascii(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok()
}

/// What is yet to be looked at: the body from `at` on.
pub(super) struct Rest<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    /// All of a body.
    pub(super) fn of(body: &'a [u8]) -> Self {
        Self { body, at: 0 }
    }

    /// How far it has been looked at.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Whether these bytes come next; then goes on behind them.
    pub(super) fn skip(&mut self, bytes: &[u8]) -> Option<()> {
        self.body[self.at..].starts_with(bytes).then(|| self.at += bytes.len())
    }

    /// Whether nothing but these bytes is left.
    pub(super) fn is(&self, bytes: &[u8]) -> bool {
        &self.body[self.at..] == bytes
    }

    /// The next byte that is no blank, left where it is.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.body.get(self.at)? {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// The next byte that is no blank.
    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// A string of ASCII without escapes.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let text = self.text()?;
        self.at += 1;
        Some(text)
    }

    /// What is in a string of ASCII without escapes, up to its closing quote.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let end = end_of_plain(self.body, self.at)?;
        let text = self.body.get(self.at..end)?;
        self.at = end;
        (self.body[end] == b'"').then_some(text)
    }

    pub(super) fn value(&mut self) -> Option<Value<'a>> {
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
    pub(super) fn number(&mut self) -> Option<Value<'a>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
    }
}
