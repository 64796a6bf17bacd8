//! `ductstream connectors`: what there is to connect, and what each can do.

use clap::Args;
use ductstream_core::{Capabilities, Result};

use super::exit::Exit;
use super::output;
use crate::connectors::{DESTINATIONS, SOURCES, document, list, operations};

const EXAMPLES: &str = "\
Examples:
  ductstream connectors
  ductstream connectors --json | jq '.destinations[] | select(.exactly_once) | .type'

A flow is admitted by the same table: `check` and `run` refuse a destination that cannot do what its flow asks.";

/// List sources and destinations with what each can do
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConnectorsArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ConnectorsArgs) -> Result<Exit> {
    match args.json {
        true => output::json(&document())?,
        false => output::print(&report())?,
    }
    Ok(Exit::Done)
}

fn report() -> String {
    let mut sources = vec![["SOURCE", "OPERATIONS", ""].map(str::to_owned)];
    sources.extend(SOURCES.iter().map(|it| [it.name.to_owned(), operations(it.operations), it.title.to_owned()]));
    let head = ["DESTINATION", "FORMATS", "ENVELOPES", "OPERATIONS", "PROMISES", ""];
    let mut destinations = vec![head.map(str::to_owned)];
    destinations.extend(DESTINATIONS.iter().map(|it| {
        [
            it.name.to_owned(),
            list(&it.formats()),
            list(&it.envelopes()),
            operations(it.capabilities.operations),
            promises(&it.capabilities),
            it.title.to_owned(),
        ]
    }));
    format!("{}\n{}", output::columns(sources), output::columns(destinations))
}

fn promises(can: &Capabilities) -> String {
    let named = [
        (can.exactly_once, "exactly once"),
        (can.cross_table_order, "order across tables"),
        (can.schema_changes, "schema changes"),
    ];
    named.into_iter().filter(|(can, _)| *can).map(|(_, name)| name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_a_line_per_connector() {
        let report = report();
        assert_eq!(report.lines().count(), 2 + SOURCES.len() + 1 + DESTINATIONS.len());
        let file = report.lines().find(|line| line.starts_with("file ")).unwrap();
        for part in ["parquet", "json", "flat", "truncate", "exactly once, schema changes", "a directory"] {
            assert!(file.contains(part), "{part}: {file}");
        }
        let stdout = report.lines().find(|line| line.starts_with("stdout ")).unwrap();
        assert!(!stdout.contains("parquet") && !stdout.contains("exactly once"), "{stdout}");
    }
}
