//! What is read of hosts and their GPUs, in a terminal. Where readings come from is no concern of it.
//!
//! ```text
//!  HostView, one a host  --frame-->  text, no wider than it has to be  --Screen-->  terminal: redrawn in place
//!                                                                                   anything else: block after block
//! ```
//!
//! | module | duty |
//! |---|---|
//! | [`view`] | what is shown of a host |
//! | `frame` | the text of one moment; pure |
//! | [`screen`] | the terminal, the key that ends, and what is no terminal |

mod frame;
pub mod screen;
pub mod view;

pub use frame::frame;
pub use screen::Screen;
pub use view::{GpuView, Gpus, HostState, HostView, Shown};
