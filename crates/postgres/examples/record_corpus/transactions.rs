//! Inputs of single transactions, from recorded frames: small ones are fuzzed faster.

use std::collections::{BTreeSet, HashMap};

use ductstream_postgres::pgoutput::{Message, Parser, Replication};
use ductstream_postgres::types::SpecialValues;

use crate::format::{options_byte, push_frame};

/// An input for each transaction, with the Relations that it relies on.
pub(crate) fn inputs(version: u8, policy: SpecialValues, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut parser = Parser::new();
    let mut told: HashMap<u32, &Vec<u8>> = HashMap::new();
    let mut open = Open::default();
    let mut inputs = Vec::new();
    for frame in frames {
        let Ok(Replication::WalData { data, .. }) = Replication::parse(frame) else { continue };
        let message = parser.parse(data).unwrap().message;
        match &message {
            Message::Begin(_) => open = Open::default(),
            Message::Relation(relation) => {
                open.told.insert(relation.oid);
                told.insert(relation.oid, frame);
            }
            Message::Insert(insert) => open.rely_on(insert.relation),
            Message::Update(update) => open.rely_on(update.relation),
            Message::Delete(delete) => open.rely_on(delete.relation),
            Message::Truncate(truncate) => truncate.relations.iter().for_each(|oid| open.rely_on(*oid)),
            _ => {}
        }
        open.frames.push(frame);
        if matches!(message, Message::Commit(_)) {
            let relations = open.relied_on.iter().map(|oid| told[oid]);
            let mut input = vec![version, options_byte(policy)];
            let (begin, rest) = open.frames.split_first().unwrap();
            let frames = std::iter::once(*begin).chain(relations).chain(rest.iter().copied());
            frames.for_each(|frame| push_frame(&mut input, frame));
            inputs.push(input);
        }
    }
    inputs
}

#[derive(Default)]
struct Open<'a> {
    frames: Vec<&'a Vec<u8>>,
    told: BTreeSet<u32>,
    relied_on: BTreeSet<u32>,
}

impl Open<'_> {
    fn rely_on(&mut self, oid: u32) {
        if !self.told.contains(&oid) {
            self.relied_on.insert(oid);
        }
    }
}
