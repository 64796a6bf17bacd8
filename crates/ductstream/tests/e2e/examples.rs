//! The flow files under `examples/`, each started as it stands, and the reference of flow files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use ductstream_testkit::kafka::{Kafka, Message};
use ductstream_testkit::postgres::{Postgres, TestDatabase, supported_versions};
use ductstream_testkit::python;
use ductstream_testkit::s3::S3Server;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::DUCTSTREAM;
use crate::kafka::broker;

const TABLES: &str = "
    create table customers (id bigint primary key, name text not null, email text);
    create table orders (id bigint primary key, customer bigint not null references customers,
        amount numeric(12,2) not null, note text);
    create publication shop_changes for table public.orders";
const CHANGES: &str = "
    insert into customers values (1, 'Ada', 'ada@example.com'), (2, 'Grace', null);
    insert into orders values (1, 1, 99.50, 'gift'), (2, 2, 10.00, null);
    update customers set email = 'grace@example.com' where id = 2;
    update orders set amount = 12.00 where id = 2;
    delete from orders where id = 1";

const CUSTOMERS: (&str, &[&str]) = ("public.customers", &["insert", "insert", "update"]);
const ORDERS: (&str, &[&str]) = ("public.orders", &["insert", "insert", "update", "delete"]);

/// Where an example delivers to.
enum Place {
    /// Below `OUT`.
    Directory(&'static str),
    /// Below the bucket.
    Bucket(&'static str),
    /// Topics, with the tables that they belong to.
    Topics(&'static [(&'static str, &'static str)]),
    /// Standard output.
    Output,
}

/// What one example does with [`CHANGES`].
struct Example {
    file: &'static str,
    places: &'static [Place],
    arrives: &'static [(&'static str, &'static [&'static str])],
}

impl Example {
    const fn new(file: &'static str, places: &'static [Place]) -> Self {
        Self { file, places, arrives: &[CUSTOMERS, ORDERS] }
    }

    fn expected(&self) -> Operations {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.arrives.iter().map(|(table, names)| ((*table).to_owned(), owned(names))).collect()
    }
}

const EXAMPLES: &[Example] = &[
    Example::new("file-parquet.yaml", &[Place::Directory("lake")]),
    Example::new("file-parquet.json", &[Place::Directory("lake")]),
    Example::new("file-json-native.yaml", &[Place::Directory("events")]),
    Example::new("file-arrow.yaml", &[Place::Directory("arrow")]),
    Example::new("file-proto.yaml", &[Place::Directory("proto")]),
    Example::new("file-avro.yaml", &[Place::Directory("avro")]),
    Example::new("s3.yaml", &[Place::Bucket("lake/shop")]),
    Example::new("two-destinations.yaml", &[Place::Bucket("lake/twice"), Place::Directory("copy")]),
    Example::new("stdout.yaml", &[Place::Output]),
    Example::new(
        "kafka.yaml",
        &[Place::Topics(&[("shop.public.customers", "public.customers"), ("shop.orders", "public.orders")])],
    ),
    Example::new(
        "primary.yaml",
        &[
            Place::Directory("primary"),
            Place::Topics(&[
                ("primary.public.customers", "public.customers"),
                ("primary.public.orders", "public.orders"),
            ]),
        ],
    ),
    Example::new(
        "dead-letters.yaml",
        &[Place::Topics(&[
            ("dead-letters.public.customers", "public.customers"),
            ("dead-letters.public.orders", "public.orders"),
        ])],
    ),
    Example::new("partitioned.yaml", &[Place::Directory("hours")]),
    Example { file: "existing-publication.yaml", places: &[Place::Directory("published")], arrives: &[ORDERS] },
];

/// Operations by table, in order.
type Operations = BTreeMap<String, Vec<String>>;

/// What an example finds around it.
struct Surroundings {
    database: TestDatabase,
    directory: TempDir,
    s3: S3Server,
    kafka: Arc<Kafka>,
}

impl Surroundings {
    async fn new(version: u16) -> Self {
        let database = Postgres::version(version).await.database().await;
        database.execute(TABLES).await;
        Self {
            database,
            directory: tempfile::tempdir().unwrap(),
            s3: S3Server::start(),
            kafka: broker(Kafka::shared).await,
        }
    }

    /// Runs an example until everything committed so far has arrived, and returns what it printed.
    async fn run(&self, file: &Path) -> String {
        let mut command = Command::new(DUCTSTREAM);
        command.arg("--state").arg(self.directory.path().join("state")).arg("run").arg(file).arg("--until-idle");
        command.env("DATABASE_URL", self.database.url()).env("OUT", self.directory.path());
        command.env("S3_ENDPOINT", self.s3.endpoint()).env("S3_BUCKET", self.s3.bucket());
        command.env("S3_ACCESS_KEY_ID", self.s3.access_key()).env("S3_SECRET_ACCESS_KEY", self.s3.secret_key());
        command.env("KAFKA_BROKERS", self.kafka.address());
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {}\n{said}", file.display(), output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    fn arrived(&self, place: &Place, printed: &str) -> Operations {
        match place {
            Place::Directory(name) => in_objects(&self.directory.path().join(name)),
            Place::Bucket(prefix) => in_objects(&self.s3.root().join(prefix)),
            Place::Topics(topics) => in_topics(&self.kafka, topics),
            Place::Output => in_lines(printed),
        }
    }
}

fn in_objects(directory: &Path) -> Operations {
    let printed = python::run(include_str!("arrived.py"), &[directory.to_str().unwrap()]);
    serde_json::from_str(&printed).unwrap()
}

/// Takes the topics away again: the next version of PostgreSQL begins anew.
fn in_topics(kafka: &Kafka, topics: &[(&str, &str)]) -> Operations {
    let mut operations = Operations::new();
    for (topic, table) in topics {
        let mut messages = kafka.read(&[topic]);
        messages.sort_by_key(Message::position);
        let changes = messages.iter().filter_map(Message::value);
        let names = changes.map(|change| change["_op"].as_str().unwrap().to_owned()).collect();
        operations.insert((*table).to_owned(), names);
        kafka.delete_topic(topic);
    }
    operations
}

fn in_lines(printed: &str) -> Operations {
    let mut operations = Operations::new();
    for line in printed.lines() {
        let change: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |field: &str| change[field].as_str().unwrap().to_owned();
        operations.entry(text("table")).or_default().push(text("op"));
    }
    operations
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// The names of the flow files under `examples/`.
fn flow_files() -> BTreeSet<String> {
    let names = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "README.md").collect()
}

#[test]
fn every_example_is_started_by_a_test_and_listed() {
    let known: BTreeSet<String> = EXAMPLES.iter().map(|example| example.file.to_owned()).collect();
    assert_eq!(flow_files(), known);
    let list = std::fs::read_to_string(directory().join("README.md")).unwrap();
    for name in known {
        assert!(list.contains(&format!("({name})")), "examples/README.md does not list {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_delivers_what_is_changed_after_its_first_start() {
    for version in supported_versions() {
        for example in EXAMPLES {
            let surroundings = Surroundings::new(version).await;
            let file = directory().join(example.file);
            surroundings.run(&file).await;
            surroundings.database.execute(CHANGES).await;
            let printed = surroundings.run(&file).await;
            for place in example.places {
                let arrived = surroundings.arrived(place, &printed);
                assert_eq!(arrived, example.expected(), "{} from PostgreSQL {version}", example.file);
            }
        }
    }
}

#[test]
fn the_reference_names_every_setting_of_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let schema = std::fs::read_to_string(root.join("schemas/flow.schema.json")).unwrap();
    let reference = std::fs::read_to_string(root.join("docs/reference/flow-file.md")).unwrap();
    let mut names = BTreeSet::new();
    settings(&serde_json::from_str(&schema).unwrap(), &mut names);
    assert!(names.contains("source") && names.contains("secret_access_key"), "{names:?}");
    // A setting stands there in code quotes, by itself or as a part of a path such as `roll.bytes`.
    let forms = |name: &str| [format!("`{name}`"), format!(".{name}`"), format!("`{name}.")];
    let named = |name: &str| forms(name).iter().any(|form| reference.contains(form));
    let missing: Vec<&String> = names.iter().filter(|name| !named(name)).collect();
    assert!(missing.is_empty(), "docs/reference/flow-file.md does not name {missing:?}");
}

/// Collects the names of all properties below a JSON Schema.
fn settings(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for (field, value) in fields {
                // A property may be named as a keyword is, `properties` among them: what is below is schemas again.
                match value.as_object().filter(|_| field == "properties") {
                    Some(properties) => {
                        names.extend(properties.keys().cloned());
                        properties.values().for_each(|property| settings(property, names));
                    }
                    None => settings(value, names),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| settings(item, names)),
        _ => {}
    }
}
