//! Record batches that were read back, as the lines that the format JSON would have had.

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use ductstream_core::{Error, Result};

use super::kind::{Kind, Member};
use super::values::{Data, Values, span};
use crate::NumericJson;

/// Writes rows of record batches in an envelope, or in none, as lines of JSON.
///
/// The addresses of the envelope's own columns are text, and columns that are named as unchanged are left out, as in the format JSON. Of
/// an old image that holds only the key, `before` has the other columns null: the columns do not tell the two apart.
#[derive(Debug, Clone)]
pub struct RowLines {
    members: Vec<Member>,
    /// Of the envelope: the index of the column of unchanged names.
    unchanged: Option<usize>,
    /// In the envelope `native`: the index of the row that they belong to. In `flat` they belong to the line.
    after: Option<usize>,
}

impl RowLines {
    /// Lines of rows of `schema`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when a type is not one that DuctStream writes.
    pub fn new(schema: &Schema) -> Result<Self> {
        let index = |name: &str| schema.index_of(name).ok();
        let is_flat = index("_op").is_some() && index("_commit_lsn").is_some();
        let is_native = index("op").is_some() && index("position").is_some() && index("schema_version").is_some();
        let member = |field: &std::sync::Arc<Field>| match field.name().as_str() {
            "_commit_lsn" if is_flat => lsn(field),
            "position" if is_native => position(field),
            _ => Member::new(field, NumericJson::String),
        };
        let members = schema.fields().iter().map(member).collect::<Result<_>>()?;
        let unchanged = if is_flat { index("_unchanged") } else { index("unchanged").filter(|_| is_native) };
        Ok(Self { members, unchanged, after: index("after").filter(|_| is_native) })
    }

    /// Appends a line for each row of `batch`.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](ductstream_core::ErrorKind::Bug) when the batch has another schema.
    pub fn append(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        if batch.num_columns() != self.members.len() {
            return Err(Error::bug("writing JSON: a batch does not fit its schema"));
        }
        let pairs = self.members.iter().zip(batch.columns());
        let columns = pairs.map(|(member, array)| Values::bind(&member.kind, array)).collect::<Result<Vec<_>>>()?;
        let unchanged = self.unchanged.and_then(|index| Names::bind(batch.column(index)));
        for row in 0..batch.num_rows() {
            let names = unchanged.as_ref().map(|names| names.of(row)).unwrap_or_default();
            self.push(&columns, row, &names, out);
            out.push(b'\n');
        }
        Ok(())
    }

    fn push(&self, columns: &[Values<'_>], row: usize, unchanged: &[&str], out: &mut Vec<u8>) {
        let is_hidden = |member: &Member| self.after.is_none() && unchanged.contains(&member.name.as_str());
        out.push(b'{');
        let mut is_first = true;
        for (index, (member, values)) in self.members.iter().zip(columns).enumerate() {
            if is_hidden(member) {
                continue;
            }
            out.extend_from_slice(&member.prefix[usize::from(is_first)..]);
            is_first = false;
            match &values.data {
                Data::Struct(members) if self.after == Some(index) && !values.is_null(row) => {
                    push_row(members, row, unchanged, out);
                }
                _ => values.push(row, out),
            }
        }
        out.push(b'}');
    }
}

/// A row without its unchanged columns.
fn push_row(members: &[(&Member, Values<'_>)], row: usize, unchanged: &[&str], out: &mut Vec<u8>) {
    out.push(b'{');
    let shown = members.iter().filter(|(member, _)| !unchanged.contains(&member.name.as_str()));
    for (index, (member, values)) in shown.enumerate() {
        out.extend_from_slice(&member.prefix[usize::from(index == 0)..]);
        values.push(row, out);
    }
    out.push(b'}');
}

/// Lists of names.
struct Names<'a> {
    lists: &'a arrow_array::ListArray,
    names: &'a arrow_array::StringArray,
}

impl<'a> Names<'a> {
    fn bind(array: &'a dyn Array) -> Option<Self> {
        let lists = array.as_list_opt::<i32>()?;
        Some(Self { lists, names: lists.values().as_string_opt()? })
    }

    fn of(&self, row: usize) -> Vec<&'a str> {
        if self.lists.is_null(row) {
            return Vec::new();
        }
        span(self.lists.value_offsets(), row).map(|index| self.names.value(index)).collect()
    }
}

fn lsn(field: &Field) -> Result<Member> {
    Ok(Member { kind: Kind::Lsn, ..Member::new(field, NumericJson::String)? })
}

fn position(field: &Field) -> Result<Member> {
    let member = Member::new(field, NumericJson::String)?;
    let DataType::Struct(fields) = field.data_type() else { return Ok(member) };
    let members = fields.iter().map(|field| match field.name().as_str() {
        "commit_lsn" => lsn(field),
        _ => Member::new(field, NumericJson::String),
    });
    Ok(Member { kind: Kind::Struct(members.collect::<Result<_>>()?), ..member })
}
