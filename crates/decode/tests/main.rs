//! What every format wrote, read back.

#[cfg(test)]
mod suite {
    mod damage;
    mod formats;
    mod messages;
    mod support;
    #[path = "../../../wire/tests/suite/types.rs"]
    mod types;
}
