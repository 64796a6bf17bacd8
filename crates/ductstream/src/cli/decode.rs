//! `ductstream decode`: what DuctStream wrote, as lines of JSON.

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use ductstream_core::{Error, Result, WireFormat};
use ductstream_decode::{Document, Options, SchemaText, open, schema_id};
use ductstream_registry::{RegistryClient, RegistrySettings};
use ductstream_wire::SchemaKind;
use serde_json::{Value, json};

use super::exit::Exit;
use super::schema::without_metadata;
use super::screen::Screen;
use super::{Global, output};
use crate::components::registry;
use crate::flow::Flow;

const EXAMPLES: &str = "\
Examples:
  ductstream decode shop-out/public.orders/*.parquet           every change, one per line
  ductstream decode --limit 5 a.avro | jq ._op
  ductstream decode --describe a.pb                            what the file is, and its schema
  kcat -C -b k1:9092 -t public.orders -c 1 -o -1 -e -D '' | ductstream decode - --registry http://registry:8081
  ductstream decode --schema orders.avsc value.bin             a record without its schema's id

Reads files and messages in any of the five formats, recognised by their content. Values are as in the format JSON: numeric as
text, bytes in base64, timestamps with microseconds. A column that is null and one that did not change differ: the second is
left out and named in `_unchanged` (`unchanged`). Exits with 1 when something is damaged: what lies before the damage is
printed, and the message names its byte.

The registry's password is read from DUCTSTREAM_REGISTRY_PASSWORD, its bearer token from DUCTSTREAM_REGISTRY_TOKEN; --flow
takes the section `schema_registry` of a flow file, certificates included.";

/// Bytes of lines that are printed at once.
const PORTION: usize = 64 << 10;

/// Print files and messages that DuctStream wrote, as lines of JSON
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DecodeArgs {
    /// Files, or values of messages; `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The format, instead of what the content says
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// The schema of messages that do not carry theirs: Avro (JSON), Protobuf (.proto, or a FileDescriptorSet)
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// The schema registry that has the schemas of messages with an id in front
    #[arg(long, value_name = "URL", conflicts_with_all = ["schema", "flow"])]
    registry: Option<String>,
    /// The registry's user; the password is in DUCTSTREAM_REGISTRY_PASSWORD
    #[arg(long, value_name = "NAME", requires = "registry")]
    registry_user: Option<String>,
    /// The authority that the registry's certificate is checked by, as PEM
    #[arg(long, value_name = "FILE", requires = "registry")]
    registry_ca: Option<PathBuf>,
    /// Take the schema registry from this flow file
    #[arg(long, value_name = "FLOW", conflicts_with = "schema")]
    flow: Option<PathBuf>,
    /// Print at most so many lines
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print what each file is, and its schema, instead of its rows
    #[arg(long)]
    describe: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Parquet,
    Arrow,
    Avro,
    Proto,
    Json,
}

impl From<Format> for WireFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Parquet => Self::Parquet,
            Format::Arrow => Self::Arrow,
            Format::Avro => Self::Avro,
            Format::Proto => Self::Proto,
            Format::Json => Self::Json,
        }
    }
}

pub(crate) async fn run(args: DecodeArgs, global: &Global, screen: &Screen) -> Result<Exit> {
    screen.start_log(global, true);
    // Libraries may panic on what is damaged. It is caught and told as damage; where it was is for their developers.
    std::panic::set_hook(Box::new(|panic| tracing::debug!("{panic}")));
    let registry = args.registry()?;
    let schema = args.schema.as_deref().map(|path| SchemaText::recognise(content(path)?)).transpose()?;
    let mut printer = Printer::new(args.limit);
    let mut exit = Exit::Done;
    for file in &args.files {
        let options = Options { format: args.format.map(WireFormat::from), schema: schema.clone(), is_framed: false };
        let printed = match document(file, options, registry.as_ref()).await {
            Ok(document) if args.describe => output::json(&described(file, &document)).map(|()| true),
            Ok(document) => printer.print(document),
            Err(error) => Err(error),
        };
        match printed {
            Ok(true) => {}
            Ok(false) => break,
            // The other files may be whole.
            Err(error) => {
                let error = error.context(format_args!("{}", name(file)));
                screen.error(&error);
                exit = if exit == Exit::Failed { exit } else { Exit::of(&error) };
            }
        }
    }
    Ok(exit)
}

async fn document(file: &Path, mut options: Options, registry: Option<&RegistryClient>) -> Result<Document> {
    let bytes = content(file)?;
    if let (Some(registry), Some(id), None) = (registry, schema_id(&bytes), &options.schema) {
        let document = registry.schema(id).await?;
        if !document.references.is_empty() {
            let message = format!("the schema with the id {id} refers to others, which DuctStream's never do");
            return Err(Error::configuration(message).with_remedy("read the message with another tool"));
        }
        options.is_framed = true;
        options.schema = Some(match document.kind {
            SchemaKind::Avro => SchemaText::Avro(document.text),
            SchemaKind::Protobuf => SchemaText::Proto(document.text),
            SchemaKind::Json => SchemaText::Json(document.text),
        });
    }
    open(bytes, &options)
}

impl DecodeArgs {
    fn registry(&self) -> Result<Option<RegistryClient>> {
        if let Some(flow) = &self.flow {
            let found = registry(&Flow::load(flow)?)?;
            return found.map(Some).ok_or_else(|| {
                Error::configuration(format!("the flow in {} has no `schema_registry`", name(flow)))
                    .with_remedy("give the registry's address with --registry")
            });
        }
        let Some(url) = &self.registry else { return Ok(None) };
        let secret = |variable: &str| std::env::var(variable).ok();
        let mut document = json!({"url": url});
        match (&self.registry_user, secret("DUCTSTREAM_REGISTRY_PASSWORD"), secret("DUCTSTREAM_REGISTRY_TOKEN")) {
            (Some(user), Some(password), _) => {
                document["basic_auth"] = json!({"username": user, "password": password});
            }
            (Some(_), None, _) => {
                return Err(Error::configuration("--registry-user is given, and no password")
                    .with_remedy("put it into the variable DUCTSTREAM_REGISTRY_PASSWORD"));
            }
            (None, _, Some(token)) => document["bearer_token"] = json!(token),
            (None, _, None) => {}
        }
        if let Some(ca) = &self.registry_ca {
            document["tls"] = json!({"ca": ca});
        }
        // Made of texts that were just put there; the error could have a secret in it.
        let settings: RegistrySettings =
            serde_json::from_value(document).map_err(|_| Error::bug("the registry's settings cannot be read"))?;
        settings.validate()?;
        RegistryClient::new(settings).map(Some)
    }
}

fn name(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}

fn content(file: &Path) -> Result<Bytes> {
    let read = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    let unreadable =
        |error| Error::configuration("cannot read it").with_source(error).with_remedy("give the path of a file");
    read.map(Bytes::from).map_err(unreadable)
}

/// Prints lines until there were enough, or nobody reads.
struct Printer {
    /// Lines that may still come.
    left: Option<u64>,
    lines: Vec<u8>,
    /// Bytes of `lines` whose lines were counted.
    counted: usize,
}

impl Printer {
    fn new(limit: Option<u64>) -> Self {
        Self { left: limit, lines: Vec::new(), counted: 0 }
    }

    /// Whether more may be printed.
    fn print(&mut self, mut document: Document) -> Result<bool> {
        loop {
            let more = document.rows.read(&mut self.lines);
            let is_last = !matches!(more, Ok(true));
            if self.is_enough() {
                return self.flush().map(|_| false);
            }
            if (is_last || self.lines.len() >= PORTION) && !self.flush()? {
                return Ok(false);
            }
            if !more? {
                return Ok(true);
            }
        }
    }

    /// Cuts the lines off that are too many.
    fn is_enough(&mut self) -> bool {
        let Some(left) = &mut self.left else { return false };
        while *left > 0 {
            let Some(end) = self.lines[self.counted..].iter().position(|byte| *byte == b'\n') else { return false };
            self.counted += end + 1;
            *left -= 1;
        }
        self.lines.truncate(self.counted);
        true
    }

    /// Whether there is still a reader.
    fn flush(&mut self) -> Result<bool> {
        let is_read = output::print_while_read(&self.lines);
        self.lines.clear();
        self.counted = 0;
        is_read
    }
}

fn described(file: &Path, document: &Document) -> Value {
    let property = |name: &str| {
        let named = format!("ductstream.{name}");
        document.properties.iter().find(|(key, _)| *key == named).map(|(_, value)| value.clone())
    };
    let column = |field: &std::sync::Arc<arrow_schema::Field>| {
        json!({
            "name": field.name(),
            "type": without_metadata(field.data_type()).to_string(),
            "nullable": field.is_nullable(),
            "pg_type": field.metadata().get(ductstream_core::metadata::PG_TYPE),
        })
    };
    let schema = document.definition.as_ref().map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text)));
    json!({
        "file": name(file),
        "format": document.format.to_string(),
        "layout": document.layout,
        "table": property("table"),
        "schema_version": property("schema_version"),
        "envelope": property("envelope"),
        "columns": document.columns.as_ref().map(|schema| schema.fields().iter().map(column).collect::<Vec<_>>()),
        "schema": schema,
    })
}
