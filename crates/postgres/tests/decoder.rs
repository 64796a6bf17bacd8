//! The decoder against what real servers sent, whole and malformed: an error or a valid result, never a panic, never more
//! memory than the message allows.
//!
//! A test binary of its own, because it counts every allocation.

#![expect(clippy::expect_used, reason = "a failure here is a failed test")]
#![expect(unsafe_code, reason = "an allocator that counts is unsafe by its trait")]

#[path = "decoder/allocations.rs"]
mod allocations;
#[path = "decoder/bounds.rs"]
mod bounds;
#[path = "decoder/corpus.rs"]
mod corpus;
#[path = "decoder/format.rs"]
mod format;
#[path = "decoder/input.rs"]
mod input;
#[path = "decoder/malformed.rs"]
mod malformed;
#[path = "decoder/recorded.rs"]
mod recorded;
#[path = "decoder/targets.rs"]
mod targets;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;
