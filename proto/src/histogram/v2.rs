//! HdrHistogram's V2 encoding, not compressed.
//!
//! ```text
//!   cookie | length of the counts | offset (0) | digits | lowest | highest | ratio (1.0)      big endian, 40 bytes
//!   counts, one after the other: n >= 0 is a bucket's count, -n stands for n buckets of 0
//!     each zigzag coded, 7 bits a byte from the lowest on, the 9th byte with all of its 8
//! ```
//!
//! The last bucket that has a count ends it.

use base64::Engine as _;
use thiserror::Error;

use super::{BUCKETS, BUCKETS_LOG2, DIGITS, HIGHEST_US, Histogram, LOWEST_US, OCTAVES, empty_octave};

/// Says that V2 bytes follow; the low digit but one is the width of the counts.
const COOKIE: u32 = 0x1c84_9313;
/// Bytes before the counts.
const HEADER: usize = 40;

/// Bytes that are not a histogram of this fleet.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidHistogram {
    /// The bytes end before the header does.
    #[error("a histogram of {0} bytes is shorter than its header")]
    Truncated(usize),
    /// The bytes begin like no histogram, or like one in another encoding.
    #[error("a histogram begins with {0:#010x}, and {COOKIE:#010x} is expected: V2, not compressed")]
    Cookie(u32),
    /// More or less follows than the header says.
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
    /// Buckets that are moved (a normalising index offset) or scaled (a ratio of integers to doubles).
    #[error("the buckets of a histogram are moved or scaled, which no recorder of durations asks for")]
    Scaled,
    /// The last count is not whole.
    #[error("the counts of a histogram end within one")]
    Cut,
    /// More counts than buckets.
    #[error("a histogram has counts beyond its last bucket")]
    Beyond,
    /// Counts that add up to more than a count holds.
    #[error("the counts of a histogram add up to 2^64 or more")]
    Sum,
}

/// Uncompressed HDR V2 bytes.
pub fn encode(histogram: &Histogram) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + 1024);
    bytes.extend(COOKIE.to_be_bytes());
    bytes.extend([0; 8]);
    bytes.extend(u32::from(DIGITS).to_be_bytes());
    bytes.extend(LOWEST_US.to_be_bytes());
    bytes.extend(HIGHEST_US.to_be_bytes());
    bytes.extend(1.0_f64.to_be_bytes());
    let mut zeros = 0_i64;
    for octave in &histogram.octaves {
        let Some(octave) = octave else {
            zeros += 1 << BUCKETS_LOG2;
            continue;
        };
        for &count in octave.iter() {
            if count == 0 {
                zeros += 1;
                continue;
            }
            match std::mem::take(&mut zeros) {
                0 => {}
                // The count of one bucket, as other implementations write it.
                1 => write(&mut bytes, 0),
                run => write(&mut bytes, -run),
            }
            write(&mut bytes, i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
    if histogram.is_empty() {
        write(&mut bytes, 0);
    }
    let length = u32::try_from(bytes.len() - HEADER).expect("at most 9 bytes for each of 23,552 buckets");
    bytes[4..8].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// HDR V2 bytes as base64, the form in `results.json`.
pub fn encode_base64(histogram: &Histogram) -> String {
    base64::engine::general_purpose::STANDARD.encode(encode(histogram))
}

/// Reads what [`encode`] wrote. Takes memory for the counts that are there, whatever lengths are claimed.
///
/// # Errors
/// [`InvalidHistogram`] for bytes that do not decode or hold another layout.
pub fn decode(bytes: &[u8]) -> Result<Histogram, InvalidHistogram> {
    let header = Header::of(bytes).ok_or(InvalidHistogram::Truncated(bytes.len()))?;
    let mut counts = header.check(bytes.len() - HEADER).map(|()| &bytes[HEADER..])?;
    let mut histogram = Histogram::new();
    let mut at = 0_usize;
    while !counts.is_empty() {
        let number = read(&mut counts).ok_or(InvalidHistogram::Cut)?;
        let buckets = match u64::try_from(number) {
            Ok(0) => 1,
            Ok(count) => {
                let octave = histogram.octaves.get_mut(at / BUCKETS).ok_or(InvalidHistogram::Beyond)?;
                octave.get_or_insert_with(empty_octave)[at % BUCKETS] = count;
                histogram.count = histogram.count.checked_add(count).ok_or(InvalidHistogram::Sum)?;
                1
            }
            Err(_) => usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX),
        };
        at = at.saturating_add(buckets);
        if at > OCTAVES * BUCKETS {
            return Err(InvalidHistogram::Beyond);
        }
    }
    Ok(histogram)
}

struct Header {
    cookie: u32,
    length: u32,
    offset: u32,
    digits: u32,
    lowest: u64,
    highest: u64,
    ratio: f64,
}

impl Header {
    fn of(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let long = |at: usize| Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        Some(Self {
            cookie: word(0)?,
            length: word(4)?,
            offset: word(8)?,
            digits: word(12)?,
            lowest: long(16)?,
            highest: long(24)?,
            ratio: f64::from_bits(long(32)?),
        })
    }

    /// Whether it is the header of this fleet's histograms, with so many bytes behind it.
    fn check(&self, there: usize) -> Result<(), InvalidHistogram> {
        let Self { cookie, length, offset, digits, lowest, highest, ratio } = *self;
        let said = usize::try_from(length).unwrap_or(usize::MAX);
        if cookie != COOKIE {
            return Err(InvalidHistogram::Cookie(cookie));
        }
        if said != there {
            return Err(InvalidHistogram::Length { said, there });
        }
        if (lowest, highest, digits) != (LOWEST_US, HIGHEST_US, u32::from(DIGITS)) {
            return Err(InvalidHistogram::Layout { lowest, highest, digits });
        }
        if offset != 0 || ratio.to_bits() != 1.0_f64.to_bits() {
            return Err(InvalidHistogram::Scaled);
        }
        Ok(())
    }
}

/// Bytes of a number but the last, which may be left out; each has 7 of its bits.
const SEVENS: u32 = 8;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the low bits are meant")]
fn write(bytes: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)) as u64;
    for _ in 0..SEVENS {
        if left < 0x80 {
            break;
        }
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
}

/// Takes a number from the front; `None`: it is not whole.
#[expect(clippy::cast_possible_wrap, reason = "two's complement is meant")]
fn read(bytes: &mut &[u8]) -> Option<i64> {
    let (mut coded, mut shift) = (0, 0);
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if shift == 7 * SEVENS || byte < 0x80 {
            coded |= u64::from(byte) << shift;
            return Some((coded >> 1) as i64 ^ -((coded & 1) as i64));
        }
        coded |= u64::from(byte & 0x7f) << shift;
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram as Reference;
    use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
    use proptest::prelude::*;

    fn reference(digits: u8) -> Reference<u64> {
        Reference::new_with_bounds(LOWEST_US, HIGHEST_US, digits).expect("valid")
    }

    fn encoded(histogram: &Reference<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(histogram, &mut bytes).expect("writing to memory does not fail");
        bytes
    }

    proptest! {
        // The reference is 190 KB: some dozens of them say as much as hundreds.
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn bytes_are_those_of_the_reference_and_decode_to_the_same(
            counts in proptest::collection::vec((0..=HIGHEST_US, 0u32..32, 1u64..64, 0u32..48), 0..200),
        ) {
            let mut theirs = reference(DIGITS);
            for (us, shorter, count, more) in counts {
                theirs.record_n(us >> shorter, count << more).expect("in range");
            }
            let bytes = encoded(&theirs);
            let ours = decode(&bytes).expect("V2");
            prop_assert_eq!(ours.len(), theirs.len());
            prop_assert_eq!(encode(&ours), bytes.clone());
            let back: Reference<u64> = Deserializer::new().deserialize(&mut &*encode(&ours)).expect("V2");
            prop_assert_eq!(back, theirs);
        }

        #[test]
        fn numbers_of_each_length_are_read_as_they_were_written(number in any::<i64>(), bits in 0u32..64) {
            let number = number >> bits;
            let mut bytes = Vec::new();
            write(&mut bytes, number);
            let mut rest = bytes.as_slice();
            prop_assert_eq!((read(&mut rest), rest), (Some(number), &[][..]));
            prop_assert_eq!(read(&mut &bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn no_counts_make_the_decoder_panic(counts in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = encode(&Histogram::new())[..HEADER].to_vec();
            bytes[7] = u8::try_from(counts.len()).expect("at most 199");
            bytes.extend(counts);
            if let Ok(histogram) = decode(&bytes) {
                prop_assert_eq!(decode(&encode(&histogram)), Ok(histogram));
            }
        }

        #[test]
        fn a_damaged_histogram_is_an_error_or_another_histogram_but_never_a_panic(
            at in 0usize..64, byte in any::<u8>(),
        ) {
            let mut histogram = Histogram::new();
            prop_assert!(histogram.record(1234));
            let mut bytes = encode(&histogram);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn a_length_that_is_not_there_is_refused() {
        let mut bytes = encode(&Histogram::new());
        bytes[4..8].fill(0xff);
        let there = bytes.len() - HEADER;
        assert_eq!(decode(&bytes), Err(InvalidHistogram::Length { said: 0xffff_ffff, there }));
        assert_eq!(decode(&bytes[..HEADER - 1]), Err(InvalidHistogram::Truncated(HEADER - 1)));
        assert_eq!(decode(b"garbage"), Err(InvalidHistogram::Truncated(7)));
    }

    #[test]
    fn another_layout_is_refused_by_name() {
        let other = encoded(&Reference::new_with_bounds(1, 60_000_000, 2).expect("valid"));
        let layout = InvalidHistogram::Layout { lowest: 1, highest: 60_000_000, digits: 2 };
        assert_eq!(decode(&other), Err(layout));
        let damaged = |at: usize, byte: u8| {
            let mut bytes = encode(&Histogram::new());
            bytes[at] = byte;
            decode(&bytes).expect_err("not of this fleet").to_string()
        };
        assert!(damaged(3, 0x14).contains("not compressed"));
        assert!(damaged(11, 1).contains("moved or scaled") && damaged(32, 0x40).contains("moved or scaled"));
    }

    #[test]
    fn counts_that_no_histogram_has_are_refused() {
        let with = |numbers: &[i64]| {
            let mut bytes = encode(&Histogram::new())[..HEADER].to_vec();
            for number in numbers {
                write(&mut bytes, *number);
            }
            bytes[7] = u8::try_from(bytes.len() - HEADER).expect("few");
            decode(&bytes)
        };
        let buckets = i64::try_from(OCTAVES * BUCKETS).expect("few");
        assert_eq!(with(&[1 - buckets, 1]).map(|h| h.at_rank(1)), Ok(Some(HIGHEST_US)));
        assert_eq!(with(&[-buckets, 1]), Err(InvalidHistogram::Beyond));
        assert_eq!(with(&[-buckets - 1]), Err(InvalidHistogram::Beyond));
        assert_eq!(with(&[i64::MIN]), Err(InvalidHistogram::Beyond));
        assert_eq!(with(&[i64::MAX, i64::MAX, 2]), Err(InvalidHistogram::Sum));
    }
}
