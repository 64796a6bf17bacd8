//! `ductstream schema`: what each table looks like where it arrives.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef};
use clap::Args;
use console::Style;
use ductstream_core::{Envelope, Error, Result, TableSchema};
use ductstream_postgres::catalog::{pattern, schema};
use ductstream_wire::{Shapes, describe};
use serde_json::{Value, json};

use super::exit::Exit;
use super::output;
use super::target::{connect, postgres};
use crate::components::wire_settings;
use crate::flow::Flow;

const EXAMPLES: &str = "\
Examples:
  ductstream schema shop.yaml
  ductstream schema shop.yaml --table public.orders
  ductstream schema shop.yaml --json | jq '.[0].parquet' -r

Shows the shape of each of the flow's tables in the envelopes of its destinations, in Arrow and in the formats that the envelope is
written in: Parquet, Avro, Protobuf, JSON. For the envelope debezium, the Connect schemas of keys and values, too.";

/// Show what the flow's tables look like in Arrow, Parquet, Avro, Protobuf and JSON
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SchemaArgs {
    /// The flow file; `-` reads standard input
    flow: PathBuf,
    /// Only these tables, with * and ? as wildcards
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: SchemaArgs) -> Result<Exit> {
    let flow = Flow::load(&args.flow)?;
    let settings = postgres(&flow);
    let mut connection = connect(&settings.url).await?;
    let mut tables = schema::load(&mut connection, settings).await?;
    connection.close().await;
    if !args.tables.is_empty() {
        tables.retain(|table| args.tables.iter().any(|wanted| means(wanted, table)));
    }
    if tables.is_empty() {
        return Err(Error::configuration("the flow has no such table")
            .with_remedy("look at the tables of the flow with `ductstream check`"));
    }
    let (mut documents, mut text) = (Vec::new(), String::new());
    for table in &tables {
        for envelope in envelopes(&flow) {
            let shapes = describe(table, envelope, &wire_settings(&flow))?;
            match args.json {
                true => documents.push(document(table, envelope, &shapes)),
                false => text.push_str(&report(table, envelope, &shapes)?),
            }
        }
    }
    match args.json {
        true => output::json(&documents)?,
        false => output::print(&text)?,
    }
    Ok(Exit::Done)
}

/// The envelopes of the flow's destinations, each once.
fn envelopes(flow: &Flow) -> Vec<Envelope> {
    let mut envelopes: Vec<Envelope> = Vec::new();
    for (_, envelope) in flow.destinations.iter().map(|destination| flow.wire(destination)) {
        if !envelopes.contains(&envelope) {
            envelopes.push(envelope);
        }
    }
    envelopes
}

fn means(wanted: &str, table: &TableSchema) -> bool {
    let (namespace, name) = wanted.split_once('.').unwrap_or(("public", wanted));
    pattern::glob(namespace, &table.table.namespace) && pattern::glob(name, &table.table.name)
}

fn key(table: &TableSchema) -> Vec<&str> {
    table.key.iter().map(|index| table.columns[*index].name()).collect()
}

fn document(table: &TableSchema, envelope: Envelope, shapes: &Shapes) -> Value {
    let columns: Vec<_> =
        table.columns.iter().map(|column| json!({"name": column.name(), "type": column.pg_type.name})).collect();
    json!({
        "table": table.table.to_string(),
        "envelope": envelope.to_string(),
        "key": key(table),
        "columns": columns,
        "arrow": arrow(shapes).map(|(name, data_type)| json!({"name": name, "type": data_type})).collect::<Vec<_>>(),
        "parquet": shapes.parquet,
        "avro": shapes.avro,
        "proto": shapes.proto,
        "json": shapes.json,
        "connect": shapes.connect.as_ref().map(|connect| json!({"key": connect.key, "value": connect.value})),
    })
}

fn report(table: &TableSchema, envelope: Envelope, shapes: &Shapes) -> Result<String> {
    let bold = |text: String| Style::new().bold().apply_to(text).to_string();
    let pretty = |value: &Value| {
        serde_json::to_string_pretty(value).map_err(|error| Error::bug("cannot write JSON").with_source(error))
    };
    let rows = table.columns.iter().map(|column| [format!("  {}", column.name()), column.pg_type.name.clone()]);
    let columns = output::columns(rows.collect());
    let arrow = output::columns(arrow(shapes).map(|(name, data_type)| [format!("  {name}"), data_type]).collect());
    let mut sections = vec![("Arrow", arrow)];
    sections.extend(shapes.parquet.iter().map(|parquet| ("Parquet", parquet.clone())));
    if let Some(avro) = &shapes.avro {
        sections.push(("Avro", pretty(avro)? + "\n"));
    }
    sections.extend(shapes.proto.iter().map(|proto| ("Protobuf", proto.clone())));
    sections.push(("JSON Schema", pretty(&shapes.json)? + "\n"));
    if let Some(connect) = &shapes.connect {
        if let Some(key) = &connect.key {
            sections.push(("Connect schema of keys", pretty(key)? + "\n"));
        }
        sections.push(("Connect schema of values", pretty(&connect.value)? + "\n"));
    }
    let name = bold(table.table.to_string());
    let mut text = format!("{name}, key ({}), envelope {envelope}\n{columns}\n", key(table).join(", "));
    for (heading, section) in sections {
        text.push_str(&format!("{}\n{section}\n", bold(heading.to_owned())));
    }
    Ok(text)
}

fn arrow(shapes: &Shapes) -> impl Iterator<Item = (String, String)> + '_ {
    shapes.arrow.fields().iter().map(|field| (field.name().clone(), without_metadata(field.data_type()).to_string()))
}

/// The same type, its inner fields without the metadata that nobody reads on a terminal.
pub(super) fn without_metadata(data_type: &DataType) -> DataType {
    let bare = |field: &FieldRef| {
        let data_type = without_metadata(field.data_type());
        Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
    };
    match data_type {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(bare).collect()),
        DataType::List(item) => DataType::List(bare(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(bare(item), *length),
        DataType::Map(entries, sorted) => DataType::Map(bare(entries), *sorted),
        other => other.clone(),
    }
}
