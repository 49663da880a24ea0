//! Writing answers where the caller pointed.

use std::ffi::{c_char, c_uint};

use crate::code::{Answer, Code};

/// Writes a value.
///
/// # Safety
/// `out` is null or valid for a write of `T`.
pub(super) unsafe fn value<T>(out: *mut T, value: T) -> Answer<()> {
    if out.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    // SAFETY: it is not null, and the caller promises that it is valid then.
    unsafe { out.write(value) };
    Ok(())
}

/// Writes a text and its end.
///
/// # Safety
/// `out` is null or valid for writes of `length` bytes.
pub(super) unsafe fn text(out: *mut c_char, length: c_uint, text: &str) -> Answer<()> {
    if out.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    if text.len() >= length as usize {
        return Err(Code::INSUFFICIENT_SIZE);
    }
    // SAFETY: it is not null and so valid for `length` bytes, which are more than the text's; a new text and the
    // caller's buffer do not overlap.
    unsafe {
        out.copy_from_nonoverlapping(text.as_ptr().cast(), text.len());
        out.add(text.len()).write(0);
    }
    Ok(())
}

/// What a list answers to a caller that has no room for it.
#[derive(Clone, Copy)]
pub(super) enum NoRoom {
    /// The number of entries, as a failure.
    Fails,
    /// The number of entries to who brings no buffer; to others as many as they have room for.
    Truncates,
}

/// Writes a list and the number of its entries; `count` holds the room when it begins.
///
/// # Safety
/// `count` is null or valid for reads and writes; `out` is null or valid for writes of `*count` entries.
pub(super) unsafe fn list<T>(
    out: *mut T,
    count: *mut c_uint,
    entries: Vec<T>,
    no_room: NoRoom,
) -> Answer<()> {
    if count.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    // SAFETY: it is not null, and the caller promises that it is valid then.
    let room = unsafe { count.read() } as usize;
    let written = match no_room {
        NoRoom::Truncates if !out.is_null() => entries.len().min(room),
        _ => entries.len(),
    };
    // SAFETY: as above.
    unsafe { count.write(c_uint::try_from(written).unwrap_or(c_uint::MAX)) };
    match no_room {
        NoRoom::Fails if entries.len() > room => return Err(Code::INSUFFICIENT_SIZE),
        _ if out.is_null() && (entries.is_empty() || matches!(no_room, NoRoom::Truncates)) => return Ok(()),
        _ if out.is_null() => return Err(Code::INVALID_ARGUMENT),
        _ => {}
    }
    for (at, entry) in entries.into_iter().take(written).enumerate() {
        // SAFETY: `out` is not null and so valid for `room` entries, and `at < written <= room`.
        unsafe { out.add(at).write(entry) };
    }
    Ok(())
}
