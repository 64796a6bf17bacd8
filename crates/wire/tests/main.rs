//! Wire formats against contracts, golden documents and readers that are not ours.

#[cfg(test)]
mod suite {
    mod arrow;
    mod avro;
    mod build;
    mod conformance;
    mod debezium;
    mod describe;
    mod envelope;
    mod json;
    mod message;
    mod original;
    mod parquet;
    mod proto;
    mod shared;
    mod types;
}
