//! HdrHistogram V2 bytes, as every HdrHistogram implementation reads them.

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use thiserror::Error;

/// Shortest duration told apart, in microseconds.
pub const LOWEST_US: u64 = 1;
/// Longest duration held, in microseconds: 71 min 34.9 s. Longer ones are counted as overflow.
pub const HIGHEST_US: u64 = (1 << 32) - 1;
/// Significant decimal digits kept.
pub const DIGITS: u8 = 3;

/// Bytes that are not a histogram of this fleet.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidHistogram {
    /// The bytes end before the header does.
    #[error("a histogram of {0} bytes is shorter than its header")]
    Truncated(usize),
    /// A histogram, but with other bounds or digits, so that merging would lose precision.
    #[error(
        "a histogram of {lowest}..{highest} us with {digits} digits cannot be merged into one of \
         {LOWEST_US}..{HIGHEST_US} us with {DIGITS}"
    )]
    Layout {
        /// Its shortest duration in microseconds.
        lowest: u64,
        /// Its longest duration in microseconds.
        highest: u64,
        /// Its significant digits.
        digits: u32,
    },
    /// The decoder's own complaint.
    #[error("the histogram does not decode: {0}")]
    Decode(String),
}

/// An empty histogram with the fleet's layout.
pub fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(LOWEST_US, HIGHEST_US, DIGITS).expect("the constants are a valid layout")
}

/// Uncompressed HDR V2 bytes.
pub fn encode(histogram: &Histogram<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(histogram, &mut bytes).expect("writing to memory does not fail");
    bytes
}

/// HDR V2 bytes as base64, the form in `results.json`.
pub fn encode_base64(histogram: &Histogram<u64>) -> String {
    base64::engine::general_purpose::STANDARD.encode(encode(histogram))
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// [`InvalidHistogram`] for bytes that do not decode or hold another layout.
pub fn decode(bytes: &[u8]) -> Result<Histogram<u64>, InvalidHistogram> {
    // Header: cookie, payload length, normalising offset, digits (4 bytes each), lowest, highest, ratio (8 each).
    // It is looked at first so that a hostile layout allocates nothing.
    let word =
        |at: usize| -> Option<u32> { Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?)) };
    let long =
        |at: usize| -> Option<u64> { Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?)) };
    let (Some(digits), Some(lowest), Some(highest)) = (word(12), long(16), long(24)) else {
        return Err(InvalidHistogram::Truncated(bytes.len()));
    };
    if (lowest, highest, digits) != (LOWEST_US, HIGHEST_US, u32::from(DIGITS)) {
        return Err(InvalidHistogram::Layout { lowest, highest, digits });
    }
    let read: Histogram<u64> = Deserializer::new()
        .deserialize(&mut std::io::Cursor::new(bytes))
        .map_err(|e| InvalidHistogram::Decode(format!("{e:?}")))?;
    // The decoder's result may keep its own sizing; adding it to an empty one gives the fleet's.
    let mut histogram = empty();
    histogram.add(&read).map_err(|e| InvalidHistogram::Decode(e.to_string()))?;
    Ok(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // A histogram is 200 KB: some dozens of them say as much as hundreds.
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_encoded_decodes_to_the_same(values in proptest::collection::vec(0..=HIGHEST_US, 0..200)) {
            let mut histogram = empty();
            for v in values {
                histogram.record(v).expect("in range");
            }
            prop_assert_eq!(decode(&encode(&histogram)).expect("own bytes"), histogram);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_damaged_histogram_is_an_error_or_another_histogram_but_never_a_panic(
            at in 0usize..64, byte in any::<u8>(),
        ) {
            let mut histogram = empty();
            histogram.record_n(1234, 5).expect("in range");
            let mut bytes = encode(&histogram);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn another_layout_is_refused_by_name() {
        let other = Histogram::<u64>::new_with_bounds(1, 60_000_000, 2).expect("valid");
        assert_eq!(
            decode(&encode(&other)),
            Err(InvalidHistogram::Layout { lowest: 1, highest: 60_000_000, digits: 2 })
        );
        assert_eq!(decode(b"garbage"), Err(InvalidHistogram::Truncated(7)));
    }
}
