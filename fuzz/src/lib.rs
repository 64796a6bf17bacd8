//! The fuzz targets of the decoder, over what the property tests of `crates/postgres` run on stable.
//!
//! `docs/explanation/fuzzing.md` says what they check and how to run them.

#[path = "../../crates/postgres/tests/decoder/allocations.rs"]
mod allocations;
#[path = "../../crates/postgres/tests/decoder/bounds.rs"]
mod bounds;
mod encoded;
#[path = "../../crates/postgres/tests/decoder/format.rs"]
#[expect(dead_code, reason = "shared with the tests, which also write inputs")]
mod format;
#[path = "../../crates/postgres/tests/decoder/input.rs"]
mod input;
#[path = "../../crates/postgres/tests/decoder/targets.rs"]
mod targets;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// Parses frames and walks every value.
pub fn pgoutput(input: &[u8]) {
    let _ = targets::pgoutput(input);
}

/// Assembles frames into batches and checks them.
pub fn assemble(input: &[u8]) {
    let _ = targets::assemble(input, |_| {});
}

/// Appends the values of one column and checks its array.
pub fn values(input: &[u8]) {
    let _ = targets::values(input);
}

/// Assembles frames and encodes the batches in every format and envelope.
pub fn encode(input: &[u8]) {
    let _ = targets::assemble(input, encoded::encode);
}
