//! The flow file: read, checked, and described by a JSON Schema.
//!
//! A file goes through four steps, each of which knows the line of what it refuses: `tree` parses YAML (or JSON), `reference`
//! replaces `${env:NAME}` and `${file:PATH}`, `read` turns the tree into [`Flow`], and `validate` checks what no single field can
//! know. Nothing here connects to anything.

mod ack;
mod de;
mod debezium;
mod name;
mod problem;
mod read;
mod reference;
mod schema;
mod settings;
mod tree;
mod validate;

use std::io::Read;
use std::path::Path;

use ductstream_core::{Error, Result};

pub(crate) use settings::{ENVELOPES, FORMATS};
pub(crate) use validate::object_store;

pub use ack::{Ack, OutboxSettings, PrimarySettings};
pub use name::FlowName;
pub use reference::Lookup;
pub use schema::json_schema;
pub use settings::{
    CheckpointSettings, DeadLetterSettings, DestinationKind, DestinationSettings, Flow, NullSettings, OnError,
    SourceKind, StdoutSettings,
};

impl Flow {
    /// Reads the flow file at `path`; `-` is standard input.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration), naming file, line, column and field. A value that a
    /// reference gave is never part of the message.
    pub fn load(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| unreadable(path, error))?;
            return Self::parse(&text, "standard input", &Lookup::process(Path::new(".")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
        let directory = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, &path.display().to_string(), &Lookup::process(directory))
    }

    /// Reads a flow from `text`, which messages call `file`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: &str, file: &str, lookup: &Lookup<'_>) -> Result<Self> {
        let parse = || {
            let mut root = tree::parse(text)?;
            reference::resolve(&mut root, lookup)?;
            let flow = read::flow(&root)?;
            validate::flow(&flow, &root)?;
            Ok(flow)
        };
        parse().map_err(|problem: problem::Problem| problem.into_error(file))
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::configuration(format!("cannot read the flow file {}: {error}", path.display()))
        .with_remedy("give the path of a flow file; `ductstream init` writes one")
}
