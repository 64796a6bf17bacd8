//! The client against a schema registry that is not ours.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod suite {
    mod access;
    mod down;
    mod registering;
    mod support;
}
