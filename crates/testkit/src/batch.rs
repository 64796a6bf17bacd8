//! Builds change batches without a database.
//!
//! Every table that [`table`] describes has the same five columns, and a row is a function of its id and note (and of the
//! commit time of its transaction), so that a test can say what it expects without keeping the row.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{Decimal128Builder, Int64Builder, ListBuilder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, BooleanArray};
use arrow_schema::{DataType, Field, TimeUnit};
use ductstream_core::{
    ChangeBatch, Column, Lsn, OldImage, Op, PgType, Position, ReplicaIdentity, Run, TableChunk, TableName, TableSchema,
    Unchanged, metadata,
};

/// The columns of every test table, in order.
pub const COLUMNS: [&str; 5] = ["id", "note", "amount", "at", "tags"];

/// The schema of `name` (`public.orders`) at `version`: `id int8` (the key), `note text`, `amount numeric(12,2)`,
/// `at timestamptz`, `tags text[]`, with replica identity `DEFAULT`.
pub fn table(name: &str, version: u32) -> Arc<TableSchema> {
    table_with_identity(name, version, ReplicaIdentity::Default)
}

/// The same with another replica identity. The key stays `id`.
pub fn table_with_identity(name: &str, version: u32, identity: ReplicaIdentity) -> Arc<TableSchema> {
    let (namespace, name) = name.split_once('.').unwrap_or(("public", name));
    let item = Arc::new(Field::new("item", DataType::Utf8, true));
    let columns = vec![
        column("id", (20, "bigint"), DataType::Int64),
        column("note", (25, "text"), DataType::Utf8),
        column("amount", (1700, "numeric(12,2)"), DataType::Decimal128(12, 2)),
        column("at", (1184, "timestamp with time zone"), timestamptz()),
        column("tags", (1009, "text[]"), DataType::List(item)),
    ];
    Arc::new(TableSchema::new(TableName::new(namespace, name), 16384, version, identity, columns).with_key(vec![0]))
}

/// A column with the `pg.*` metadata that the source gives it.
pub fn column(name: &str, (oid, pg_name): (u32, &str), data_type: DataType) -> Column {
    let typmod = if oid == 1700 { (12 << 16 | 2) + 4 } else { -1 };
    let tags = [
        (metadata::PG_TYPE, pg_name.to_owned()),
        (metadata::PG_OID, oid.to_string()),
        (metadata::PG_TYPMOD, typmod.to_string()),
    ];
    let tags: HashMap<String, String> = tags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let field = Field::new(name, data_type, true).with_metadata(tags);
    Column { pg_type: PgType { oid, typmod, name: pg_name.to_owned() }, field: Arc::new(field) }
}

/// A chunk of inserts at positions `(commit_lsn, 0..)`, from arrays of any shape: for tests of types.
pub fn inserts(schema: &Arc<TableSchema>, commit_lsn: u64, after: Vec<ArrayRef>) -> TableChunk {
    let rows = after.first().map_or(0, |array| array.len());
    TableChunk {
        schema: schema.clone(),
        ops: vec![Op::Insert; rows],
        positions: (0..rows as u64).map(|seq| Position::new(Lsn(commit_lsn), seq)).collect(),
        xids: vec![751; rows],
        commit_times: vec![1_795_433_079_049_237; rows],
        after,
        before: None,
        old: vec![OldImage::None; rows],
        unchanged: None,
        wire_bytes: 64 * rows as u64,
    }
}

fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// One row image: an id and a note, from which the other columns follow.
#[derive(Debug, Clone)]
struct Image {
    id: i64,
    note: Option<String>,
    /// Only the key is known.
    key_only: bool,
}

impl Image {
    fn row(id: i64, note: &str) -> Self {
        Self { id, note: Some(note.to_owned()), key_only: false }
    }

    fn key(id: i64) -> Self {
        Self { id, note: None, key_only: true }
    }
}

#[derive(Debug)]
struct Change {
    op: Op,
    position: Position,
    xid: u32,
    commit_time: i64,
    after: Option<Image>,
    before: Option<Image>,
    unchanged: Option<usize>,
}

#[derive(Debug)]
struct Chunk {
    schema: Arc<TableSchema>,
    changes: Vec<Change>,
}

/// Builds a [`ChangeBatch`] change by change, in commit order; tables may interleave.
///
/// ```
/// use ductstream_testkit::batch::{BatchBuilder, table};
///
/// let orders = table("public.orders", 1);
/// let batch = BatchBuilder::new()
///     .begin(0x100, 751, 1_795_433_079_049_237)
///     .insert(&orders, 1, "a")
///     .delete(&orders, 1)
///     .commit(0x130)
///     .build();
/// assert_eq!(batch.len(), 2);
/// ```
#[derive(Debug, Default)]
pub struct BatchBuilder {
    chunks: Vec<Chunk>,
    runs: Vec<Run>,
    next: Position,
    xid: u32,
    commit_time: i64,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a transaction whose commit record starts at `commit_lsn`; `commit_time` in microseconds since 1970 UTC.
    #[must_use]
    pub fn begin(self, commit_lsn: u64, xid: u32, commit_time: i64) -> Self {
        self.resume(Position::new(Lsn(commit_lsn), 0), xid, commit_time)
    }

    /// Goes on inside a transaction of which an earlier batch holds the changes before `position`.
    #[must_use]
    pub fn resume(mut self, position: Position, xid: u32, commit_time: i64) -> Self {
        (self.next, self.xid, self.commit_time) = (position, xid, commit_time);
        self
    }

    /// A new row: `amount` is `id` and 25 hundredths, `at` the commit time, `tags` holds the note.
    #[must_use]
    pub fn insert(self, schema: &Arc<TableSchema>, id: i64, note: &str) -> Self {
        self.change(schema, Op::Insert, Some(Image::row(id, note)), None)
    }

    /// `count` new rows with ids from `first_id`, with notes `row <id>`.
    #[must_use]
    pub fn insert_many(self, schema: &Arc<TableSchema>, first_id: i64, count: i64) -> Self {
        (first_id..first_id + count).fold(self, |batch, id| batch.insert(schema, id, &format!("row {id}")))
    }

    /// A row read by a snapshot.
    #[must_use]
    pub fn load(self, schema: &Arc<TableSchema>, id: i64, note: &str) -> Self {
        self.change(schema, Op::Load, Some(Image::row(id, note)), None)
    }

    /// A changed row without an old image.
    #[must_use]
    pub fn update(self, schema: &Arc<TableSchema>, id: i64, note: &str) -> Self {
        self.change(schema, Op::Update, Some(Image::row(id, note)), None)
    }

    /// An update of the key from `old_id` to `id`; the old image holds the key.
    #[must_use]
    pub fn update_key(self, schema: &Arc<TableSchema>, (old_id, id): (i64, i64), note: &str) -> Self {
        self.change(schema, Op::Update, Some(Image::row(id, note)), Some(Image::key(old_id)))
    }

    /// An update with a whole old image (`REPLICA IDENTITY FULL`).
    #[must_use]
    pub fn update_full(self, schema: &Arc<TableSchema>, old: (i64, &str), new: (i64, &str)) -> Self {
        self.change(schema, Op::Update, Some(Image::row(new.0, new.1)), Some(Image::row(old.0, old.1)))
    }

    /// A changed row whose `column` the WAL did not carry.
    #[must_use]
    pub fn update_unchanged(mut self, schema: &Arc<TableSchema>, id: i64, column: &str) -> Self {
        self = self.change(schema, Op::Update, Some(Image::row(id, "unseen")), None);
        let index = COLUMNS.iter().position(|name| *name == column).expect("a column of the test table");
        let chunk = self.runs.last().map(|run| run.chunk as usize).expect("a change was just added");
        self.chunks[chunk].changes.last_mut().expect("a change was just added").unchanged = Some(index);
        self
    }

    /// A removed row; the old image holds the key.
    #[must_use]
    pub fn delete(self, schema: &Arc<TableSchema>, id: i64) -> Self {
        self.change(schema, Op::Delete, None, Some(Image::key(id)))
    }

    /// A removed row with its whole old image (`REPLICA IDENTITY FULL`).
    #[must_use]
    pub fn delete_full(self, schema: &Arc<TableSchema>, id: i64, note: &str) -> Self {
        self.change(schema, Op::Delete, None, Some(Image::row(id, note)))
    }

    /// An emptied table.
    #[must_use]
    pub fn truncate(self, schema: &Arc<TableSchema>) -> Self {
        self.change(schema, Op::Truncate, None, None)
    }

    /// Ends the transaction, whose commit record ends at `end_lsn`. A batch that is built without it is cut inside the
    /// transaction.
    #[must_use]
    pub fn commit(mut self, end_lsn: u64) -> Self {
        self.next = Position::new(Lsn(end_lsn), 0);
        self
    }

    /// The batch.
    pub fn build(self) -> ChangeBatch {
        ChangeBatch {
            barriers: Vec::new(),
            chunks: self.chunks.into_iter().map(Chunk::build).collect(),
            runs: self.runs,
            end: self.next,
            end_time: Some(self.commit_time),
        }
    }

    fn change(mut self, schema: &Arc<TableSchema>, op: Op, after: Option<Image>, before: Option<Image>) -> Self {
        let chunk = self.chunk_of(schema);
        let (position, xid, commit_time) = (self.next, self.xid, self.commit_time);
        let change = Change { op, position, xid, commit_time, after, before, unchanged: None };
        self.chunks[chunk].changes.push(change);
        self.next.seq += 1;
        match self.runs.last_mut() {
            Some(run) if run.chunk as usize == chunk => run.rows += 1,
            _ => self.runs.push(Run { chunk: u32::try_from(chunk).expect("few chunks"), rows: 1 }),
        }
        self
    }

    fn chunk_of(&mut self, schema: &Arc<TableSchema>) -> usize {
        let same = |chunk: &Chunk| chunk.schema.table == schema.table && chunk.schema.version == schema.version;
        self.chunks.iter().position(same).unwrap_or_else(|| {
            self.chunks.push(Chunk { schema: schema.clone(), changes: Vec::new() });
            self.chunks.len() - 1
        })
    }
}

impl Chunk {
    fn build(self) -> TableChunk {
        let changes = &self.changes;
        let images = |of: fn(&Change) -> Option<&Image>| arrays(changes.iter().map(|change| (change, of(change))));
        let before = changes.iter().any(|change| change.before.is_some());
        TableChunk {
            ops: changes.iter().map(|change| change.op).collect(),
            positions: changes.iter().map(|change| change.position).collect(),
            xids: changes.iter().map(|change| change.xid).collect(),
            commit_times: changes.iter().map(|change| change.commit_time).collect(),
            after: images(|change| change.after.as_ref()),
            before: before.then(|| images(|change| change.before.as_ref())),
            old: changes.iter().map(Change::old_image).collect(),
            unchanged: unchanged(changes),
            wire_bytes: 64 * changes.len() as u64,
            schema: self.schema,
        }
    }
}

impl Change {
    fn old_image(&self) -> OldImage {
        match &self.before {
            None => OldImage::None,
            Some(image) if image.key_only => OldImage::Key,
            Some(_) => OldImage::Full,
        }
    }
}

fn unchanged(changes: &[Change]) -> Option<Unchanged> {
    changes.iter().any(|change| change.unchanged.is_some()).then(|| {
        let bits = changes.iter().flat_map(|change| (0..COLUMNS.len()).map(|column| change.unchanged == Some(column)));
        Unchanged::new(COLUMNS.len(), BooleanArray::from(bits.collect::<Vec<_>>()).values().clone())
    })
}

fn arrays<'a>(images: impl Iterator<Item = (&'a Change, Option<&'a Image>)>) -> Vec<ArrayRef> {
    let (mut id, mut note) = (Int64Builder::new(), StringBuilder::new());
    let mut amount = Decimal128Builder::new().with_data_type(DataType::Decimal128(12, 2));
    let mut at = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    let mut tags = ListBuilder::new(StringBuilder::new());
    for (change, image) in images {
        // A value that the WAL did not carry is null in its column.
        let carried = |column: usize| image.is_some() && change.unchanged != Some(column);
        let row = image.filter(|image| !image.key_only);
        id.append_option(image.filter(|_| carried(0)).map(|image| image.id));
        note.append_option(row.filter(|_| carried(1)).and_then(|row| row.note.as_deref()));
        amount.append_option(row.filter(|_| carried(2)).map(|row| i128::from(row.id) * 100 + 25));
        at.append_option(row.filter(|_| carried(3)).map(|_| change.commit_time));
        tags.append_option(row.filter(|_| carried(4)).map(|row| [row.note.clone()]));
    }
    vec![
        Arc::new(id.finish()),
        Arc::new(note.finish()),
        Arc::new(amount.finish()),
        Arc::new(at.finish()),
        Arc::new(tags.finish()),
    ]
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;

    use super::*;

    #[test]
    fn a_batch_interleaves_tables_in_commit_order_and_ends_after_its_transaction() {
        let (orders, items) = (table("public.orders", 1), table("public.items", 1));
        let batch = BatchBuilder::new()
            .begin(0x100, 7, 1)
            .insert(&orders, 1, "a")
            .insert(&items, 1, "b")
            .update_key(&orders, (1, 2), "c")
            .commit(0x130)
            .begin(0x200, 8, 2)
            .delete(&items, 1)
            .truncate(&orders)
            .commit(0x240)
            .build();
        let seen: Vec<_> =
            batch.records().map(|r| (r.chunk.schema.table.name.as_str(), r.op(), r.position())).collect();
        let at = |lsn, seq| Position::new(Lsn(lsn), seq);
        assert_eq!(
            seen,
            [
                ("orders", Op::Insert, at(0x100, 0)),
                ("items", Op::Insert, at(0x100, 1)),
                ("orders", Op::Update, at(0x100, 2)),
                ("items", Op::Delete, at(0x200, 0)),
                ("orders", Op::Truncate, at(0x200, 1)),
            ]
        );
        assert_eq!(batch.end, at(0x240, 0));
        assert_eq!(batch.chunks[0].old, [OldImage::None, OldImage::Key, OldImage::None]);
    }

    #[test]
    fn arrays_have_the_types_of_the_schema_and_unchanged_values_are_null() {
        let orders = table("public.orders", 1);
        let batch = BatchBuilder::new().begin(8, 1, 1).update_unchanged(&orders, 5, "note").build();
        let chunk = &batch.chunks[0];
        for (array, field) in chunk.after.iter().zip(orders.arrow.fields()) {
            assert_eq!(array.data_type(), field.data_type());
        }
        assert!(chunk.after[1].is_null(0) && chunk.after[4].is_valid(0));
        assert!(chunk.unchanged.as_ref().is_some_and(|unchanged| unchanged.is_unchanged(0, 1)));
        assert_eq!(batch.end, Position::new(Lsn(8), 1));
    }
}
