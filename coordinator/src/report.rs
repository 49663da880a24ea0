//! Puts a [`Report`](crate::analysis::Report) into words, JSON and pictures. Computes nothing.
//!
//! | module | duty |
//! |---|---|
//! | [`console`] | the comparison for a terminal, in the seed tool's layout |
//! | [`json`] | `results.json`, written as it goes |
//! | [`png`] | `performance_comparison.png` |
//! | [`files`] | the only place that touches the disk |
//! | `text` | every sentence, once per language |
//! | `number` | how numbers look |

pub mod console;
pub mod files;
pub mod json;
mod number;
pub mod png;
mod text;
