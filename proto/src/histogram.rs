//! HdrHistogram V2 bytes, as every HdrHistogram implementation reads them.

use std::cell::RefCell;

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

/// Bytes before the counts.
const HEADER: usize = 40;

/// Bytes that are not a histogram of this fleet.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidHistogram {
    /// The bytes end before the header does.
    #[error("a histogram of {0} bytes is shorter than its header")]
    Truncated(usize),
    /// Less follows than the header says.
    #[error("a histogram says that {said} bytes of counts follow, and {there} do")]
    Length {
        /// Bytes as the header has it.
        said: usize,
        /// Bytes that are there.
        there: usize,
    },
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
    thread_local! {
        // Kept, since it works in a memory of up to 200 KB, each page of which would be a fault when that is fetched anew
        // from the kernel for each histogram of each interval.
        static SERIALIZER: RefCell<V2Serializer> = RefCell::default();
    }
    let mut bytes = Vec::new();
    SERIALIZER
        .with_borrow_mut(|serializer| serializer.serialize(histogram, &mut bytes))
        .expect("writing to memory does not fail");
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
    // It is looked at first so that a hostile length or layout allocates nothing.
    let word =
        |at: usize| -> Option<u32> { Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?)) };
    let long =
        |at: usize| -> Option<u64> { Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?)) };
    let (Some(said), Some(digits), Some(lowest), Some(highest), Some(there)) =
        (word(4), word(12), long(16), long(24), bytes.len().checked_sub(HEADER))
    else {
        return Err(InvalidHistogram::Truncated(bytes.len()));
    };
    let said = usize::try_from(said).unwrap_or(usize::MAX);
    if said > there {
        return Err(InvalidHistogram::Length { said, there });
    }
    if (lowest, highest, digits) != (LOWEST_US, HIGHEST_US, u32::from(DIGITS)) {
        return Err(InvalidHistogram::Layout { lowest, highest, digits });
    }
    // Of one layout with those made here: a layout follows from bounds and digits.
    Deserializer::new()
        .deserialize(&mut std::io::Cursor::new(bytes))
        .map_err(|e| InvalidHistogram::Decode(format!("{e:?}")))
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
            let decoded = decode(&encode(&histogram)).expect("own bytes");
            prop_assert_eq!(&decoded, &histogram);
            prop_assert_eq!(decoded.distinct_values(), empty().distinct_values());
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
    fn a_length_that_is_not_there_is_refused_before_memory_is_taken_for_it() {
        let mut bytes = encode(&empty());
        bytes[4..8].fill(0xff);
        let there = bytes.len() - HEADER;
        assert_eq!(decode(&bytes), Err(InvalidHistogram::Length { said: 0xffff_ffff, there }));
        assert_eq!(decode(&bytes[..HEADER - 1]), Err(InvalidHistogram::Truncated(HEADER - 1)));
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
