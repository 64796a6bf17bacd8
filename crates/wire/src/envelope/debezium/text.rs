//! Values whose Connect type is a string.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_schema::Field;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ductstream_core::Result;

use super::convert::Convert;
use super::settings::BinaryHandling;
use crate::json::{HstoreText, PostgresText, push_uuid};

/// Texts of a column that is not text, null where it is.
pub(super) fn texts(rows: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(rows.collect::<StringArray>())
}

/// The text that PostgreSQL prints.
pub(super) fn postgres(field: &Field) -> Result<Convert> {
    let text = PostgresText::compile(field)?;
    Ok(Arc::new(move |array| text.of(array)))
}

pub(super) fn uuids() -> Convert {
    Arc::new(|array| {
        let array = array.as_fixed_size_binary();
        let text = |uuid: &[u8]| {
            let mut out = Vec::with_capacity(36);
            push_uuid(uuid, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        Ok(texts(array.iter().map(|uuid| uuid.map(text))))
    })
}

pub(super) fn bytes(mode: BinaryHandling) -> Convert {
    Arc::new(move |array| {
        let text = |bytes: &[u8]| match mode {
            BinaryHandling::Base64UrlSafe => URL_SAFE.encode(bytes),
            BinaryHandling::Hex => hex(bytes),
            BinaryHandling::Bytes | BinaryHandling::Base64 => STANDARD.encode(bytes),
        };
        Ok(texts(array.as_binary::<i32>().iter().map(|bytes| bytes.map(text))))
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to memory does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// An hstore as a JSON document.
pub(super) fn hstore_json() -> Convert {
    Arc::new(|array| {
        let map = array.as_map();
        let text = HstoreText::new(map);
        Ok(texts((0..map.len()).map(|row| map.is_valid(row).then(|| text.json(row)))))
    })
}
