//! Batches in every format and envelope.

use ductstream_core::{ChangeBatch, Codec, Envelope};
use ductstream_wire::{JsonCodec, JsonLines, JsonSettings, ParquetCodec, ParquetSettings};

/// Encodes `batch`, as lines and as one object per table: errors are of the settings' or the schema's making, and none of
/// the values'.
pub(crate) fn encode(batch: &ChangeBatch) {
    for envelope in [Envelope::Flat, Envelope::Native] {
        if let Ok(mut lines) = JsonLines::new(envelope, JsonSettings::default()) {
            let _ = lines.append(batch, &mut Vec::new());
        }
        let json = JsonCodec::new(envelope, JsonSettings::default());
        let parquet = ParquetCodec::new(envelope, ParquetSettings::default());
        json.iter().for_each(|codec| encode_with(codec, batch));
        parquet.iter().for_each(|codec| encode_with(codec, batch));
    }
}

fn encode_with(codec: &dyn Codec, batch: &ChangeBatch) {
    for chunk in &batch.chunks {
        let Ok(mut encoder) = codec.encoder(&chunk.schema) else { continue };
        encoder.append(chunk, 0..chunk.len()).expect("a chunk of the encoder's schema");
        let mut object = encoder.take();
        object.extend(encoder.finish().expect("a complete object"));
        assert!(!object.is_empty(), "a chunk of {} records is encoded", chunk.len());
    }
}
