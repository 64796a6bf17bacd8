//! Dead letters: records that a destination refuses, kept apart with their error so that the flow goes on.
//!
//! - [`DeadLetter`]: one of them, as it is kept.
//! - [`Letters`]: where they are kept.
//! - [`Keeper`]: what a destination hands them to. [`Skipper`]: the same for `on_error: skip`.
//! - [`replay`]: delivers them later.

mod document;
mod keeper;
mod letters;
pub mod replay;

pub use document::{DeadLetter, Reason};
pub use keeper::{Keeper, Skipper};
pub use letters::{Kept, Letters};
