//! `ductstream init`: a commented flow file for a database.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use ductstream_core::{Error, ReplicaIdentity, Result};
use ductstream_postgres::catalog::inspect::{InspectedTable, Inspection, inspect};
use ductstream_postgres::connect::ConnectionSettings;

use super::exit::Exit;
use super::output;
use super::screen::Screen;
use super::status::{bytes, count};
use crate::flow::FlowName;

const EXAMPLES: &str = "\
Examples:
  ductstream init postgresql://localhost/shop
  ductstream init 'host=db dbname=shop user=app' --output shop.yaml

Looks at the database and changes nothing. Give the password by PGPASSWORD or a password file: a flow file is no place for it.";

/// Write a commented flow file for a database
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArgs {
    /// A libpq URL or keyword string
    url: String,
    /// Write this file, which must not exist yet, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) async fn run(args: InitArgs, screen: &Screen) -> Result<Exit> {
    let found = inspect(&ConnectionSettings::resolve(&args.url)?).await?;
    let text = flow_file(&args.url, &found);
    let Some(path) = &args.output else {
        output::print(&text)?;
        return Ok(Exit::Done);
    };
    write_new(path, &text)?;
    let path = path.display();
    screen.message(&format!("wrote {path}; next: ductstream check {path}, then ductstream run {path}"));
    Ok(Exit::Done)
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        Error::configuration(format!("cannot write {}: {error}", path.display()))
            .with_remedy("give the name of a file that does not exist yet")
    })
}

fn flow_file(url: &str, found: &Inspection) -> String {
    let name = flow_name(&found.server.database);
    let slot = ductstream_postgres::default_slot(&name);
    let (url, note) = source_url(url);
    let tables: String = found.tables.iter().map(table).collect();
    let usable = found.tables.iter().any(|table| table.identifies_rows);
    let tables = if usable {
        tables
    } else {
        format!("{tables}    - public.*   # there is no table yet that could be streamed\n")
    };
    let wal_level = match found.server.wal_level.as_str() {
        "logical" => String::new(),
        other => format!("# wal_level is {other}: run ALTER SYSTEM SET wal_level = logical, and restart the server.\n"),
    };
    format!(
        "\
# A DuctStream flow: changes of {address}, PostgreSQL {version}, as Parquet files.
# Every setting: schemas/flow.schema.json. Try it: ductstream check FILE; ductstream run FILE --until-idle
{wal_level}
name: {name}

source:
  type: postgres
{note}  url: {url}
  # `*` and `?` stand for other characters: \"public.*\". Rows and sizes are the server's estimates.
  tables:
{tables}  # Created when missing, kept at exit. `ductstream cleanup` drops it.
  slot: {slot}

# parquet, arrow, avro, proto or json
format: parquet

# flat: the row's own columns, then _op, _commit_lsn, _seq and others. native: op, key, before, after, position.
envelope: flat

destinations:
  - name: files
    type: file
    path: ./{name}-out
    roll: {{bytes: 128MiB, age: 60s}}
  # - name: lake
  #   type: s3
  #   bucket: my-bucket
  #   prefix: {name}
  #   region: eu-central-1
  #   secret_access_key: ${{env:AWS_SECRET_ACCESS_KEY}}

# Where progress is kept. By default a SQLite file in the state directory.
# checkpoint: {{url: \"postgresql://app@db/state\"}}
",
        address = found.address,
        version = found.server.version_text,
    )
}

fn table(found: &InspectedTable) -> String {
    let rows = found.estimated_rows.map_or_else(|| "rows unknown".to_owned(), |rows| format!("{} rows", count(rows)));
    let mut notes = vec![rows, bytes(found.bytes)];
    if found.partitions > 0 {
        notes.push(format!("{} partitions", found.partitions));
    }
    if found.table.identity == ReplicaIdentity::Full {
        notes.push("replica identity full".to_owned());
    }
    let name = found.table.name.to_string();
    // Plain YAML reads a name of letters, digits and `_` as it is.
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
    let name = if plain { name } else { format!("{name:?}") };
    let notes = notes.join(", ");
    match found.identifies_rows {
        true => format!("    - {name}   # {notes}\n"),
        // Once it is published, the server would refuse the applications' updates and deletes.
        false => format!("    # - {name}   # {notes}; first give it a primary key, or REPLICA IDENTITY FULL\n"),
    }
}

/// The URL as it may stand in a file: a password is taken out, and read from the environment instead.
fn source_url(url: &str) -> (String, &'static str) {
    let quoted = |url: &str| format!("{:?}", url.replace("${", "$${"));
    let Some((start, rest)) = url.split_once("://") else {
        return match url.contains("password") {
            true => ("${env:DATABASE_URL}".to_owned(), PASSWORD_NOTE),
            false => (quoted(url), ""),
        };
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let has_password =
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) || rest.contains("password");
    match has_password {
        true => ("${env:DATABASE_URL}".to_owned(), PASSWORD_NOTE),
        false => (quoted(&format!("{start}://{rest}")), ""),
    }
}

const PASSWORD_NOTE: &str =
    "  # The URL has a password in it, which does not belong into a file: set DATABASE_URL to the URL.\n";

fn flow_name(database: &str) -> String {
    let allowed = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-' { c } else { '_' };
    let name: String = database.to_ascii_lowercase().chars().map(allowed).take(50).collect();
    name.parse::<FlowName>().map_or_else(|_| "flow".to_owned(), |name| name.to_string())
}

#[cfg(test)]
mod tests {
    use ductstream_core::TableName;
    use ductstream_postgres::catalog::server::Server;
    use ductstream_postgres::catalog::table::{Kind, Table};

    use super::*;
    use crate::flow::{Flow, Lookup};

    fn found() -> Inspection {
        let server = Server {
            version: 180_000,
            version_text: "18.0".into(),
            system_identifier: "1".into(),
            timeline: 1,
            database: "My Shop".into(),
            wal_level: "replica".into(),
            in_recovery: false,
        };
        let table = |name: &str, identifies_rows| InspectedTable {
            table: Table {
                oid: 1,
                name: TableName::new("public", name),
                kind: Kind::Ordinary,
                ancestors: Vec::new(),
                identity: ReplicaIdentity::Default,
                primary_key: Vec::new(),
                identity_index: Vec::new(),
                generated: Default::default(),
                estimated_rows: Some(1234),
                owned: true,
            },
            partitions: 0,
            estimated_rows: Some(1234),
            bytes: 1 << 20,
            identifies_rows,
        };
        Inspection {
            address: "db:5432/shop as app".into(),
            server,
            tables: vec![table("orders", true), table("log", false), table("odd \"name\": #1", true)],
        }
    }

    #[test]
    fn what_init_writes_is_a_flow_file() {
        let text = flow_file("postgresql://app@db/shop", &found());
        let lookup = Lookup { variable: &|_| None, directory: PathBuf::new() };
        let flow = Flow::parse(&text, "init", &lookup).map_err(|error| error.report()).unwrap();
        let crate::flow::SourceKind::Postgres(source) = &flow.source;
        assert_eq!(flow.name.as_str(), "my_shop");
        assert_eq!(source.url, "postgresql://app@db/shop");
        assert_eq!(source.tables, ["public.orders", "public.odd \"name\": #1"]);
        for part in ["1,234 rows", "# - public.log ", "wal_level is replica", "slot: ductstream_my_shop"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn a_password_is_never_written() {
        for url in [
            "postgresql://app:hunter2@db/shop",
            "postgres://app@db/shop?password=hunter2",
            "host=db password=hunter2",
            "host=db password = 'hunter2'",
        ] {
            let text = flow_file(url, &found());
            assert!(!text.contains("hunter2") && text.contains("${env:DATABASE_URL}"), "{url}\n{text}");
        }
        assert_eq!(source_url("host=db dbname=${x}").0, "\"host=db dbname=$${x}\"");
    }
}
