//! Debezium's options that are set elsewhere in a flow, or need not be set.

use super::problem::Problem;
use super::tree::Node;

/// Options, and what to do instead. A name that ends in a point stands for all that begin with it.
const ELSEWHERE: [(&str, &str); 45] = [
    ("name", "set the flow's `name`"),
    ("connector.class", LEAVE_OUT),
    ("tasks.max", LEAVE_OUT),
    ("database.", "set `source.url`, as libpq takes it"),
    ("driver.", "set `source.url`, as libpq takes it"),
    ("plugin.name", "leave it out: it is always pgoutput"),
    ("slot.name", "set `source.slot`"),
    ("slot.failover", "set `source.failover`"),
    ("slot.drop.on.stop", "leave it out: the slot is kept, and `ductstream cleanup` drops it"),
    ("slot.", LEAVE_OUT),
    ("publication.name", "set `source.publication`"),
    (
        "publication.autocreate.mode",
        "set `source.tables` for a publication that the flow keeps, or `source.publication`",
    ),
    ("table.include.list", TABLES),
    ("table.exclude.list", TABLES),
    ("schema.include.list", TABLES),
    ("schema.exclude.list", TABLES),
    ("column.include.list", COLUMNS),
    ("column.exclude.list", COLUMNS),
    ("column.", NONE),
    ("datatype.", NONE),
    ("message.key.columns", NONE),
    ("heartbeat.interval.ms", "set `source.heartbeat`"),
    ("heartbeat.", HEARTBEAT),
    ("topic.heartbeat.prefix", HEARTBEAT),
    ("snapshot.", SNAPSHOT),
    ("incremental.snapshot.", SNAPSHOT),
    ("signal.", SNAPSHOT),
    ("max.batch.size", "set `source.batch_size`"),
    ("max.queue.", "set `memory_limit`"),
    ("poll.interval.ms", "leave it out: there is nothing to poll"),
    ("errors.", RETRY),
    ("retriable.", RETRY),
    ("offset.", "set `checkpoint`"),
    ("offset", "set `checkpoint`"),
    ("key.converter.schemas.enable", SCHEMAS),
    ("value.converter.schemas.enable", SCHEMAS),
    ("key.converter", CONVERTER),
    ("key.converter.", CONVERTER),
    ("value.converter", CONVERTER),
    ("value.converter.", CONVERTER),
    ("include.unknown.datatypes", "leave it out: every type is delivered"),
    ("provide.transaction.metadata", "leave it out: `transaction` is null"),
    ("transforms", NONE),
    ("transforms.", NONE),
    ("converters", NONE),
];

const LEAVE_OUT: &str = "leave it out: nothing depends on it here";
const NONE: &str = "leave it out: nothing here does the same";
const TABLES: &str = "name the tables in `source.tables`, with * and ? as wildcards";
const COLUMNS: &str = "give the publication a column list (PostgreSQL 15), and set `source.publication`";
const HEARTBEAT: &str = "leave it out: `source.heartbeat` needs no table, and nothing goes to topics";
const SNAPSHOT: &str = "leave it out: rows that exist already are not read, as with `snapshot.mode: no_data`";
const RETRY: &str = "set `retry`";
const SCHEMAS: &str = "set `schemas.enable`, which is for keys and values";
const CONVERTER: &str = "set the flow's `format`";

/// Refuses the first option of the section that belongs elsewhere. What nobody knows is left to whoever reads the section.
pub(super) fn refuse_elsewhere(section: &Node) -> Result<(), Problem> {
    let found = section.entries().iter().find_map(|entry| Some((entry, elsewhere(&entry.key)?)));
    let Some((entry, remedy)) = found else { return Ok(()) };
    let message = format!("Debezium's option `{}` is not set in {}", entry.key, section.path);
    Err(Problem { mark: Some(entry.key_mark), ..Problem::on(&entry.value, message) }.remedy(remedy))
}

fn elsewhere(option: &str) -> Option<&'static str> {
    let names = |name: &str| option == name || name.ends_with('.') && option.starts_with(name);
    ELSEWHERE.iter().find(|(name, _)| names(name)).map(|(_, remedy)| *remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ductstream_wire::envelope::debezium::DebeziumSettings;

    #[test]
    fn options_are_found_by_name_or_by_what_they_begin_with() {
        assert_eq!(elsewhere("slot.name"), Some("set `source.slot`"));
        assert_eq!(elsewhere("slot.stream.params"), Some(LEAVE_OUT));
        assert_eq!(elsewhere("database.hostname"), Some("set `source.url`, as libpq takes it"));
        assert_eq!(elsewhere("column.mask.with.5.chars"), Some(NONE));
        assert_eq!(elsewhere("key.converter.schemas.enable"), Some(SCHEMAS));
        assert_eq!(elsewhere("decimal.handling.modes"), None);
    }

    #[test]
    fn no_option_of_the_section_is_said_to_be_elsewhere() {
        let serde_json::Value::Object(options) = serde_json::to_value(DebeziumSettings::default()).unwrap() else {
            panic!("a section")
        };
        assert!(options.len() > 10);
        options.keys().for_each(|option| assert_eq!(elsewhere(option), None, "{option}"));
    }
}
