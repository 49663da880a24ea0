//! Read buffers of one load thread, lent while there is something in them.

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// Length of a buffer: an answer up to this length is judged where it was read to.
const LENGTH: usize = 64 << 10;

/// The buffer at home. One is kept for the next loan: answers are judged as soon as they are there, so a thread rarely
/// holds two.
#[derive(Default)]
pub(super) struct Buffers {
    free: Cell<Option<Box<[u8]>>>,
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers").finish_non_exhaustive()
    }
}

impl Buffers {
    /// Lends a buffer; what is in it is left over from an earlier loan.
    pub(super) fn lend(self: &Rc<Self>) -> Loan {
        let bytes = self.free.take().unwrap_or_else(|| vec![0; LENGTH].into());
        Loan { bytes, home: Rc::clone(self) }
    }
}

/// A buffer away from home; goes back when dropped.
#[derive(Debug)]
pub(super) struct Loan {
    bytes: Box<[u8]>,
    home: Rc<Buffers>,
}

impl Deref for Loan {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.home.free.set(Some(std::mem::take(&mut self.bytes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_goes_back_and_is_lent_again() {
        let buffers = Rc::new(Buffers::default());
        let first = buffers.lend();
        let place = first.as_ptr();
        drop(first);
        assert_eq!(buffers.lend().as_ptr(), place);
        let (one, other) = (buffers.lend(), buffers.lend());
        assert_ne!(one.as_ptr(), other.as_ptr());
    }
}
