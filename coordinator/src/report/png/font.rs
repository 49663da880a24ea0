//! The built-in font.

use plotters::style::{FontStyle, register_font};

use super::PlotError;

/// Name under which the drawing library knows it.
pub(super) const NAME: &str = "fluxfleet-sans";

/// Noto Sans SC: ASCII, Latin-1, Chinese punctuation and the 3,755 common characters of GB 2312 level 1;
/// `assets/README.md` says how it was made.
static BYTES: &[u8] = include_bytes!("../../../assets/NotoSansSC-subset.otf");

/// Makes it known. To do so again changes nothing.
pub(super) fn register() -> Result<(), PlotError> {
    register_font(NAME, FontStyle::Normal, BYTES).map_err(|_| PlotError::Font)
}
