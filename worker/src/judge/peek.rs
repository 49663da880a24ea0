//! A JSON value, looked at from outside.

use std::borrow::Cow;
use std::fmt;

use fluxfleet_proto::units::Micros;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Bytes kept of a string that cannot be borrowed because it has escapes. Ids, states, URLs and messages are
/// shorter; base64 is not, and there only its presence counts.
const OWNED_BYTES: usize = 4096;

/// What kind of value it is, and what little of it is ever needed.
#[derive(Debug, PartialEq)]
pub(super) enum Peek<'a> {
    Null,
    Bool(bool),
    Whole(i128),
    Number(f64),
    Text(Cow<'a, str>),
    /// A list; whether anything is in it.
    List(bool),
    /// An object; whether anything is in it, and its `message` or `detail`.
    Object(bool, Option<String>),
}

impl Peek<'_> {
    /// Neither null nor empty.
    pub(super) fn is_there(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(_) | Self::Whole(_) | Self::Number(_) => true,
            Self::Text(text) => !text.is_empty(),
            Self::List(any) | Self::Object(any, _) => *any,
        }
    }

    /// The text of an error or message field; `None` where it says that there is none.
    pub(super) fn complaint(self) -> Option<String> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text.into_owned()),
            Self::Whole(n) if n != 0 => Some(format!("code {n}")),
            Self::Object(_, Some(message)) => Some(message),
            Self::Bool(true) | Self::List(true) | Self::Object(true, None) => {
                Some("an error without words".to_owned())
            }
            _ => None,
        }
    }

    /// A non-empty string.
    pub(super) fn string(self) -> Option<String> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text.into_owned()),
            _ => None,
        }
    }

    /// A non-empty string or a whole number, as text.
    pub(super) fn scalar(self) -> Option<String> {
        match self {
            Self::Whole(n) => Some(n.to_string()),
            other => other.string(),
        }
    }

    /// A duration: a number of seconds, or a text such as `1.72s` or `1720ms`.
    pub(super) fn seconds(&self) -> Option<Micros> {
        let seconds = match self {
            Self::Whole(n) => *n as f64,
            Self::Number(n) => *n,
            Self::Text(text) => {
                let text = text.trim();
                let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
                    (Some(number), _) => (number, 1e-3),
                    (None, Some(number)) => (number, 1.0),
                    (None, None) => (text, 1.0),
                };
                number.trim().parse::<f64>().ok()? * unit
            }
            _ => return None,
        };
        let micros = (seconds * 1e6).round();
        // Beyond a year it is no duration of a generation; NaN fails both comparisons.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        (0.0..=3.2e13).contains(&micros).then_some(Micros(micros as u64))
    }
}

impl<'de> Deserialize<'de> for Peek<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Peek<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Peek::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Self::Value, E> {
        Ok(Peek::Bool(b))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Self::Value, E> {
        Ok(Peek::Whole(n.into()))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Self::Value, E> {
        Ok(Peek::Whole(n.into()))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Self::Value, E> {
        Ok(Peek::Number(n))
    }

    fn visit_borrowed_str<E>(self, s: &'de str) -> Result<Self::Value, E> {
        Ok(Peek::Text(Cow::Borrowed(s)))
    }

    fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
        Ok(Peek::Text(Cow::Owned(s[..s.floor_char_boundary(OWNED_BYTES)].to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut any = false;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            any = true;
        }
        Ok(Peek::List(any))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut any, mut message) = (false, None);
        while let Some(Name(key)) = map.next_key()? {
            any = true;
            if message.is_none() && matches!(&*key, "message" | "detail") {
                message = map.next_value::<Peek<'_>>()?.string();
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Peek::Object(any, message))
    }
}

/// A key, borrowed from the body where it has no escapes.
pub(super) struct Name<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_str(Key)
    }
}

struct Key;

impl<'de> Visitor<'de> for Key {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, s: &'de str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(s)))
    }

    fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(s[..s.floor_char_boundary(OWNED_BYTES)].to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_each_of_their_spellings() {
        for (json, micros) in [
            ("1.72", Some(1_720_000)),
            ("2", Some(2_000_000)),
            (r#""1.72s""#, Some(1_720_000)),
            (r#"" 1720ms ""#, Some(1_720_000)),
            (r#""0.5""#, Some(500_000)),
            (r#""-1s""#, None),
            ("1e300", None),
            (r#""soon""#, None),
            (r#""nan""#, None),
            ("null", None),
        ] {
            let peek: Peek<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(peek.seconds(), micros.map(Micros), "{json}");
        }
    }

    #[test]
    fn a_string_without_escapes_is_not_copied() {
        let json = format!(r#""{}""#, "A".repeat(100_000));
        let peek: Peek<'_> = serde_json::from_str(&json).unwrap();
        assert!(matches!(peek, Peek::Text(Cow::Borrowed(s)) if s.len() == 100_000));
        let escaped = format!(r#""{}\/""#, "A".repeat(100_000));
        let peek: Peek<'_> = serde_json::from_str(&escaped).unwrap();
        assert!(matches!(peek, Peek::Text(Cow::Owned(s)) if s.len() == OWNED_BYTES));
    }
}
