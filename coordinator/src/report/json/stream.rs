//! A JSON object written member by member, its long arrays element by element.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

/// An object that is being written.
pub(super) struct Object<W> {
    out: W,
    first: bool,
}

impl<W: Write> Object<W> {
    /// Opens it.
    pub(super) fn begin(mut out: W) -> io::Result<Self> {
        out.write_all(b"{")?;
        Ok(Self { out, first: true })
    }

    fn name(&mut self, name: &str) -> io::Result<()> {
        self.out.write_all(if self.first { b"\n  " } else { b",\n  " })?;
        self.first = false;
        serde_json::to_writer(&mut self.out, name)?;
        self.out.write_all(b": ")
    }

    /// A member, indented for people.
    pub(super) fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> io::Result<()> {
        self.name(name)?;
        // JSON strings hold no raw line ends, so every one is between two tokens.
        let text = serde_json::to_string_pretty(value)?.replace('\n', "\n  ");
        self.out.write_all(text.as_bytes())
    }

    /// An array of any length, one element a line. Stops at the first element that is an error.
    pub(super) fn array<T: Serialize, E: From<io::Error>>(
        &mut self,
        name: &str,
        elements: impl Iterator<Item = Result<T, E>>,
    ) -> Result<(), E> {
        self.name(name)?;
        self.out.write_all(b"[")?;
        let mut first = true;
        for element in elements {
            let element = element?;
            self.out.write_all(if first { b"\n    " } else { b",\n    " })?;
            first = false;
            serde_json::to_writer(&mut self.out, &element).map_err(io::Error::from)?;
        }
        self.out.write_all(if first { b"]" } else { b"\n  ]" })?;
        Ok(())
    }

    /// Closes it and sees every byte off.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.out.write_all(b"\n}\n")?;
        self.out.flush()
    }
}

/// A wall time as RFC 3339 in UTC. A time that no calendar holds becomes the last one that it does.
pub(super) fn rfc3339(since_epoch: Duration) -> String {
    jiff::SignedDuration::try_from(since_epoch)
        .ok()
        .and_then(|d| jiff::Timestamp::from_duration(d).ok())
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_elements_make_one_document() {
        let mut bytes = Vec::new();
        let mut object = Object::begin(&mut bytes).expect("memory");
        object.field("a", &["x\ny"]).expect("memory");
        object.array("b", [Ok::<_, io::Error>(1), Ok(2)].into_iter()).expect("memory");
        object.array("c", std::iter::empty::<io::Result<u8>>()).expect("memory");
        object.end().expect("memory");
        let text = String::from_utf8(bytes).expect("UTF-8");
        assert_eq!(
            text,
            "{\n  \"a\": [\n    \"x\\ny\"\n  ],\n  \"b\": [\n    1,\n    2\n  ],\n  \"c\": []\n}\n"
        );
    }

    #[test]
    fn a_wall_time_reads_as_a_date() {
        assert_eq!(rfc3339(Duration::from_millis(1_735_787_045_250)), "2025-01-02T03:04:05.25Z");
        assert!(rfc3339(Duration::MAX).starts_with("9999-"));
    }
}
