//! Inputs of single columns, from recorded frames.

use std::collections::{BTreeMap, HashMap};

use ductstream_postgres::pgoutput::{Message, Parser, Replication, TupleValue};
use ductstream_postgres::types::SpecialValues;

use crate::format::options_byte;

/// An input for the last column of each table, by the table's name.
pub(crate) fn inputs(version: u8, policy: SpecialValues, frames: &[Vec<u8>]) -> BTreeMap<String, Vec<u8>> {
    let mut parser = Parser::new();
    let mut names = HashMap::new();
    let mut inputs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for frame in frames {
        let Ok(Replication::WalData { data, .. }) = Replication::parse(frame) else { continue };
        match parser.parse(data).unwrap().message {
            Message::Relation(relation) => {
                let column = relation.columns.last().unwrap();
                let header = [&[version, options_byte(policy)][..], &column.type_oid.to_be_bytes()].concat();
                let input = [header, column.typmod.to_be_bytes().to_vec()].concat();
                names.insert(relation.oid, relation.name.to_owned());
                inputs.entry(relation.name.to_owned()).or_insert(input);
            }
            Message::Insert(insert) => {
                let value = insert.new.values().last().unwrap().unwrap();
                push(inputs.get_mut(&names[&insert.relation]).unwrap(), value);
            }
            _ => {}
        }
    }
    inputs.retain(|name, _| name.strip_prefix('t').is_some_and(|rest| rest.parse::<u32>().is_ok()));
    inputs
}

fn push(input: &mut Vec<u8>, value: TupleValue<'_>) {
    let (tag, bytes) = match value {
        TupleValue::Null | TupleValue::Unchanged => return input.push(b'n'),
        TupleValue::Text(bytes) => (b't', bytes),
        TupleValue::Binary(bytes) => (b'b', bytes),
    };
    input.push(tag);
    input.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_be_bytes());
    input.extend_from_slice(bytes);
}
