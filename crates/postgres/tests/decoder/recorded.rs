//! What real servers sent is read as it is.

use std::collections::{BTreeMap, BTreeSet};

use ductstream_postgres::pgoutput::{Kind, Parser, Replication};
use ductstream_postgres::types::SpecialValues;

use super::corpus::{COLUMNS, CONNECTIONS, Seed, found};
use super::format::{HEADER, frames, options_byte};
use super::targets;

/// Kinds that PostgreSQL 14 does not know yet.
const TWO_PHASE: [Kind; 5] =
    [Kind::BeginPrepare, Kind::Prepare, Kind::CommitPrepared, Kind::RollbackPrepared, Kind::StreamPrepare];

const SINCE_14: [Kind; 14] = [
    Kind::Begin,
    Kind::Commit,
    Kind::Origin,
    Kind::Relation,
    Kind::Type,
    Kind::Insert,
    Kind::Update,
    Kind::Delete,
    Kind::Truncate,
    Kind::Message,
    Kind::StreamStart,
    Kind::StreamStop,
    Kind::StreamCommit,
    Kind::StreamAbort,
];

fn kinds(seed: &Seed) -> Vec<Kind> {
    let mut parser = Parser::new();
    let mut kind = |frame| match Replication::parse(frame).expect("a recorded frame") {
        Replication::WalData { data, .. } => Some(parser.parse(data).expect("a recorded message").message.kind()),
        Replication::Keepalive { .. } => None,
    };
    frames(&seed.input[HEADER..]).filter_map(&mut kind).collect()
}

#[test]
fn the_corpus_has_every_kind_of_message_of_every_version() {
    let mut seen: BTreeMap<u8, BTreeSet<&str>> = BTreeMap::new();
    for seed in CONNECTIONS.iter() {
        seen.entry(seed.version()).or_default().extend(kinds(seed).into_iter().map(Kind::as_str));
    }
    let expected = |version: u8| {
        let two_phase = TWO_PHASE.iter().filter(|_| version >= 15);
        SINCE_14.iter().chain(two_phase).map(|kind| kind.as_str()).collect::<BTreeSet<_>>()
    };
    assert_eq!(seen, (14..=18).map(|version| (version, expected(version))).collect());
}

#[test]
fn every_recorded_frame_is_parsed_within_its_bound() {
    for seed in CONNECTIONS.iter() {
        let parsed = targets::pgoutput(&seed.input);
        assert!(parsed.as_ref().is_ok_and(|frames| *frames > 50), "{}: {parsed:?}", seed.name);
    }
}

#[test]
fn what_was_recorded_without_streaming_is_assembled_within_its_bound() {
    for seed in CONNECTIONS.iter().filter(|seed| seed.name.contains("plain")) {
        for special_values in [SpecialValues::Null, SpecialValues::Text] {
            let mut input = seed.input.clone();
            input[1] = options_byte(special_values);
            let records = targets::assemble(&input, |_| {});
            assert!(records.as_ref().is_ok_and(|records| *records > 200), "{}: {records:?}", seed.name);
        }
    }
}

#[test]
fn every_recorded_column_is_appended_within_its_bound() {
    for seed in COLUMNS.iter() {
        let values = targets::values(&seed.input);
        assert!(values.as_ref().is_ok_and(|values| *values > 0), "{}: {values:?}", seed.name);
    }
}

#[test]
fn what_was_found_once_is_an_error_or_a_valid_result() {
    for seed in found("pgoutput") {
        let _ = targets::pgoutput(&seed.input);
    }
    for seed in found("assemble") {
        let _ = targets::assemble(&seed.input, |_| {});
    }
    for seed in found("values") {
        let _ = targets::values(&seed.input);
    }
}
