//! Checkpoints as text, and the rule that they never move back.

use ductstream_core::{Checkpoint, Error, Lsn, Position, Result, SchemaRecord, TableName};

/// One row of the `schema_version` table, as both databases return it.
pub(crate) struct SchemaRow {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) version: i64,
    pub(crate) from_lsn: String,
    pub(crate) from_seq: i64,
    pub(crate) shape: String,
}

impl SchemaRow {
    pub(crate) fn new(record: &SchemaRecord) -> Result<Self> {
        let from_seq = i64::try_from(record.from.seq).map_err(|_| {
            Error::bug(format!("a change's index in its transaction, {}, is too large", record.from.seq))
        })?;
        Ok(Self {
            namespace: record.table.namespace.clone(),
            name: record.table.name.clone(),
            version: i64::from(record.version),
            from_lsn: record.from.commit_lsn.to_string(),
            from_seq,
            shape: record.shape.clone(),
        })
    }

    pub(crate) fn into_record(self) -> Result<SchemaRecord> {
        let number =
            |what: &str| unreadable(&format!("the {what} of a schema version of {}.{}", self.namespace, self.name));
        let from_lsn: Lsn = self.from_lsn.parse().map_err(|_| number("position"))?;
        let from_seq = u64::try_from(self.from_seq).map_err(|_| number("position"))?;
        let version = u32::try_from(self.version).map_err(|_| number("number"))?;
        let table = TableName { namespace: self.namespace, name: self.name };
        Ok(SchemaRecord { table, version, from: Position::new(from_lsn, from_seq), shape: self.shape })
    }
}

pub(crate) fn write(checkpoint: &Checkpoint) -> Result<String> {
    serde_json::to_string(checkpoint)
        .map_err(|error| Error::bug("cannot write a checkpoint as JSON").with_source(error))
}

pub(crate) fn read(flow: &str, document: &str) -> Result<Checkpoint> {
    serde_json::from_str(document)
        .map_err(|error| unreadable(&format!("the checkpoint of flow {flow}")).with_source(error))
}

/// Refuses `next` when `stored`, the flow's checkpoint, has gone further.
pub(crate) fn fence(flow: &str, stored: Option<&str>, next: &Checkpoint) -> Result<()> {
    let Some(stored) = stored else { return Ok(()) };
    let stored = read(flow, stored)?;
    if !next.goes_back_from(&stored) {
        return Ok(());
    }
    let name = |checkpoint: &Checkpoint| format!("{} on timeline {}", checkpoint.position, checkpoint.source.timeline);
    let message = format!(
        "cannot store the checkpoint {} of flow {flow}: another worker has stored {} already",
        name(next),
        name(&stored)
    );
    Err(Error::fenced(message)
        .with_remedy("run each flow once at a time, or give the second one another name and slot"))
}

fn unreadable(what: &str) -> Error {
    Error::configuration(format!(
        "cannot read {what} from the checkpoint store: it was written by a newer version of DuctStream, or by hand"
    ))
    .with_remedy("use the version of DuctStream that wrote the store, or run `ductstream cleanup` and begin anew")
}

#[cfg(test)]
mod tests {
    use ductstream_core::{ErrorKind, SourceIdentity};

    use super::*;

    #[test]
    fn a_checkpoint_that_cannot_be_read_names_the_flow_and_the_way_out() {
        let error = read("orders", r#"{"later": 1}"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains("flow orders"), "{error}");
        assert!(error.remedy().is_some());
    }

    #[test]
    fn a_checkpoint_without_outboxes_is_written_and_read_as_before_there_were_any() {
        let source =
            SourceIdentity { system_identifier: "1".into(), timeline: 1, database: "d".into(), slot: "s".into() };
        let written = Checkpoint::begin(source, Position::start_of(Lsn(9)), ["lake".to_owned()]);
        let document = write(&written).unwrap();
        assert!(document.contains(r#""lake":{"position":{"commit_lsn":"0/9","seq":0},"stored":null}"#), "{document}");
        assert_eq!(read("orders", &document).unwrap(), written);
    }

    #[test]
    fn an_unreadable_checkpoint_is_never_overwritten() {
        let source =
            SourceIdentity { system_identifier: "1".into(), timeline: 1, database: "d".into(), slot: "s".into() };
        let next = Checkpoint::begin(source, Position::start_of(Lsn(9)), []);
        assert_eq!(fence("orders", Some("{}"), &next).unwrap_err().kind(), ErrorKind::Configuration);
        assert!(fence("orders", None, &next).is_ok());
    }
}
