//! The commands beside `run`, against a real server.

use std::path::Path;

use ductstream_testkit::postgres::{Postgres, TestDatabase, supported_versions};
use ductstream_testkit::process::{self, Finished, Process};
use serde_json::Value;
use tempfile::TempDir;

const DUCTSTREAM: &str = env!("CARGO_BIN_EXE_ductstream");
const TABLES: &str = "
    CREATE TABLE orders (id bigint PRIMARY KEY, note text, amount numeric(12,2));
    CREATE TABLE \"Odd name\" (id int PRIMARY KEY, doubled int GENERATED ALWAYS AS (id * 2) STORED);
    CREATE TABLE log (line text)";

/// A database with a few tables, a directory with a flow file, and the binary.
struct Shop {
    database: TestDatabase,
    directory: TempDir,
}

impl Shop {
    async fn new(version: u16) -> Self {
        let database = Postgres::version(version).await.database().await;
        database.execute(TABLES).await;
        let directory = tempfile::tempdir().unwrap();
        let flow = format!(
            "name: {}\nsource: {{type: postgres, url: '{}', tables: [public.orders]}}\nformat: json\ndestinations:\n  - {{name: out, type: file, path: {}}}\n",
            database.name(),
            database.url(),
            directory.path().join("out").display()
        );
        std::fs::write(directory.path().join("flow.yaml"), flow).unwrap();
        Self { database, directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn start(&self, arguments: &[&str]) -> Process {
        let state = self.path("state");
        Process::start(DUCTSTREAM, arguments, &[("DUCTSTREAM_STATE", state.as_str()), ("RUST_LOG", "info")])
    }

    async fn run(&self, arguments: &[&str], code: i32) -> Finished {
        self.start(arguments).wait().await.expect_code(code)
    }

    async fn json(&self, arguments: &[&str], code: i32) -> Value {
        let finished = self.run(arguments, code).await;
        serde_json::from_str(&finished.stdout).unwrap()
    }

    async fn slots(&self) -> String {
        let sql = format!("SELECT count(*) FROM pg_replication_slots WHERE database = '{}'", self.database.name());
        self.database.query_value(&sql).await
    }

    async fn publications(&self) -> String {
        self.database.query_value("SELECT count(*) FROM pg_publication").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn init_writes_a_flow_file_that_passes_its_check_and_overwrites_nothing() {
    for version in supported_versions() {
        let shop = Shop::new(version).await;
        let (url, file) = (shop.database.url(), shop.path("new.yaml"));
        shop.run(&["init", &url, "--output", &file], 0).await;
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("- public.orders ") && text.contains("- \"public.Odd name\" "), "{text}");
        assert!(text.contains("# - public.log "), "the table without a key is left out\n{text}");
        let report = shop.json(&["check", &file, "--json"], 0).await;
        assert_eq!(report["ok"], true, "{report:#}");
        let again = shop.run(&["init", &url, "--output", &file], 2).await;
        assert!(again.stderr.contains("does not exist yet"), "{}", again.stderr);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_creates_nothing_and_exits_with_3_when_something_would_fail() {
    let shop = Shop::new(18).await;
    let flow = shop.path("flow.yaml");
    shop.run(&["check", &flow], 0).await;
    assert_eq!((shop.slots().await.as_str(), shop.publications().await.as_str()), ("0", "0"));
    assert!(!Path::new(&shop.path("state")).exists() && !Path::new(&shop.path("out")).exists());
    shop.database.execute("DROP TABLE orders").await;
    let report = shop.json(&["check", &flow, "--json"], 3).await;
    let errors = report["findings"].as_array().unwrap().iter().filter(|finding| finding["severity"] == "error");
    let errors: Vec<_> = errors.map(Value::to_string).collect();
    assert!(errors.iter().any(|error| error.contains("public.orders")), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_shows_each_table_as_it_would_arrive() {
    for version in supported_versions() {
        let shop = Shop::new(version).await;
        let tables = shop.json(&["schema", &shop.path("flow.yaml"), "--json"], 0).await;
        let orders = &tables[0];
        assert_eq!((orders["table"].as_str(), &orders["key"]), (Some("public.orders"), &serde_json::json!(["id"])));
        assert_eq!(orders["columns"][2], serde_json::json!({"name": "amount", "type": "numeric(12,2)"}));
        assert!(orders["parquet"].as_str().unwrap().contains("DECIMAL(12,2)"), "{orders:#}");
        assert!(orders["json"]["properties"]["_op"].is_object(), "{orders:#}");
        let text = shop.run(&["schema", &shop.path("flow.yaml"), "--table", "ord*"], 0).await;
        assert!(text.stdout.starts_with("public.orders, key (id), envelope flat\n"), "{}", text.stdout);
        shop.run(&["schema", &shop.path("flow.yaml"), "--table", "nothing"], 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_shows_the_connect_schemas_of_debezium() {
    let shop = Shop::new(18).await;
    let flow = std::fs::read_to_string(shop.path("flow.yaml")).unwrap();
    let flow = flow.replace("format: json", "format: json\nenvelope: debezium\ndebezium: {topic.prefix: shop}");
    std::fs::write(shop.path("flow.yaml"), flow).unwrap();
    let tables = shop.json(&["schema", &shop.path("flow.yaml"), "--json"], 0).await;
    let orders = &tables[0];
    assert_eq!((&orders["envelope"], &orders["parquet"]), (&Value::from("debezium"), &Value::Null));
    assert_eq!(orders["connect"]["key"]["name"], "shop.public.orders.Key");
    assert_eq!(orders["connect"]["value"]["name"], "shop.public.orders.Envelope");
    let id = &orders["connect"]["value"]["fields"][1]["fields"][0];
    assert_eq!((&id["field"], &id["optional"]), (&Value::from("id"), &Value::from(false)));
    let text = shop.run(&["schema", &shop.path("flow.yaml")], 0).await;
    assert!(text.stdout.contains("Connect schema of values") && !text.stdout.contains("Parquet"), "{}", text.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_shows_what_a_publication_carries_and_no_generated_column() {
    let shop = Shop::new(18).await;
    shop.database.execute("CREATE PUBLICATION chosen FOR TABLE orders (id, note), \"Odd name\"").await;
    let flow = std::fs::read_to_string(shop.path("flow.yaml")).unwrap();
    std::fs::write(shop.path("flow.yaml"), flow.replace("tables: [public.orders]", "publication: chosen")).unwrap();
    let tables = shop.json(&["schema", &shop.path("flow.yaml"), "--json"], 0).await;
    let columns = |table: &Value| -> Vec<String> {
        table["columns"].as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(columns(&tables[0]), ["id"]);
    assert_eq!(columns(&tables[1]), ["id", "note"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cleanup_drops_what_the_flow_created_and_nothing_else() {
    for version in supported_versions() {
        let shop = Shop::new(version).await;
        let flow = shop.path("flow.yaml");
        shop.database.execute("CREATE PUBLICATION mine FOR TABLE log").await;
        shop.run(&["run", &flow, "--until-idle"], 0).await;
        assert_eq!((shop.slots().await.as_str(), shop.publications().await.as_str()), ("1", "2"));
        let asked = shop.run(&["cleanup", &flow], 2).await;
        assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
        assert_eq!(shop.slots().await, "1", "nothing is dropped unasked");
        shop.run(&["cleanup", &flow, "--yes"], 0).await;
        assert_eq!(shop.slots().await, "0");
        assert_eq!(shop.database.query_value("SELECT string_agg(pubname, ',') FROM pg_publication").await, "mine");
        // Nothing is left, and that is no error; the flow begins anew.
        shop.run(&["cleanup", &flow, "--yes"], 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cleanup_keeps_a_slot_and_a_publication_that_the_flow_found() {
    let shop = Shop::new(18).await;
    let slot = format!("{}_mine", shop.database.name());
    shop.database.execute("CREATE PUBLICATION mine FOR TABLE orders").await;
    shop.database.execute(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
    let flow = std::fs::read_to_string(shop.path("flow.yaml")).unwrap();
    let flow = flow.replace("tables: [public.orders]", &format!("publication: mine, slot: {slot}"));
    std::fs::write(shop.path("flow.yaml"), flow).unwrap();
    shop.run(&["run", &shop.path("flow.yaml"), "--until-idle"], 0).await;
    shop.run(&["cleanup", &shop.path("flow.yaml"), "--yes"], 0).await;
    assert_eq!((shop.slots().await.as_str(), shop.publications().await.as_str()), ("1", "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_listed_and_dropped_by_name() {
    let shop = Shop::new(18).await;
    let (url, slot) = (shop.database.url(), format!("{}_s", shop.database.name()));
    shop.database.execute(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
    let slots = shop.json(&["slot", "list", &url, "--json"], 0).await;
    let listed = slots.as_array().unwrap().iter().find(|found| found["name"] == slot.as_str()).unwrap().clone();
    assert_eq!((&listed["active"], &listed["plugin"]), (&Value::Bool(false), &Value::from("pgoutput")));
    assert!(listed["retained_bytes"].is_u64() && listed["confirmed_flush"].is_string(), "{listed}");
    let table = shop.run(&["slot", "list", &shop.path("flow.yaml")], 0).await;
    assert!(table.stdout.starts_with("SLOT ") && table.stdout.contains(&slot), "{}", table.stdout);
    shop.run(&["slot", "drop", &url, &slot], 0).await;
    assert_eq!(shop.slots().await, "0");
    let missing = shop.run(&["slot", "drop", &url, &slot], 2).await;
    assert!(missing.stderr.contains("there is no slot"), "{}", missing.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_prints_changes_as_they_commit_and_leaves_nothing_behind() {
    for version in supported_versions() {
        let shop = Shop::new(version).await;
        let tail = shop.start(&["tail", &shop.database.url(), "public.orders"]);
        tail.wait_for_stderr(|line| line.contains("watching public.orders")).await;
        wait_for_slot(&shop).await;
        shop.database.execute("INSERT INTO orders VALUES (1, 'first', 1.50)").await;
        shop.database.execute("UPDATE orders SET amount = 'NaN' WHERE id = 1; INSERT INTO log VALUES ('unseen')").await;
        shop.database.execute("SELECT pg_logical_emit_message(true, 'app', 'hello'); DELETE FROM orders").await;
        tail.wait_for_stdout(|line| line.starts_with("+ insert public.orders  id=1 note=\"first\"")).await;
        tail.wait_for_stdout(|line| line.starts_with("~ update public.orders  id=1") && line.contains("NaN")).await;
        tail.wait_for_stdout(|line| line == "* message app  \"hello\"").await;
        tail.wait_for_stdout(|line| line == "- delete public.orders  id=1").await;
        tail.signal("INT").await;
        let finished = tail.wait().await.expect_code(0);
        assert!(!finished.stdout.contains("unseen") && !finished.stdout.contains('\u{1b}'), "{}", finished.stdout);
        assert_eq!(shop.publications().await, "0");
        process::eventually("the temporary slot is gone", async || shop.slots().await == "0").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_as_json_watches_every_own_table_in_the_envelope_native() {
    let shop = Shop::new(18).await;
    let tail = shop.start(&["tail", &shop.path("flow.yaml"), "--json"]);
    wait_for_slot(&shop).await;
    shop.database.execute("INSERT INTO log VALUES ('x'); INSERT INTO \"Odd name\" VALUES (4)").await;
    tail.wait_for_stderr(|line| line.contains("3 tables (only inserts of public.log: no replica identity)")).await;
    shop.database.execute("UPDATE log SET line = 'the applications can still do this'; DELETE FROM log").await;
    let line = tail.wait_for_stdout(|line| line.contains("Odd name")).await;
    let change: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&change["op"], &change["after"]), (&Value::from("insert"), &serde_json::json!({"id": 4})));
    assert_eq!(change["position"]["seq"], 1, "the first change is the log's");
    tail.signal("TERM").await;
    let finished = tail.wait().await.expect_code(0);
    assert!(finished.stdout.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{}", finished.stdout);
    assert_eq!(shop.publications().await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_of_a_table_that_is_not_there_says_so_and_creates_nothing() {
    let shop = Shop::new(18).await;
    let finished = shop.run(&["tail", &shop.database.url(), "public.ordres"], 2).await;
    assert!(finished.stderr.contains("public.orders"), "{}", finished.stderr);
    assert_eq!((shop.slots().await.as_str(), shop.publications().await.as_str()), ("0", "0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_prints_to_standard_output_until_its_reader_leaves() {
    let shop = Shop::new(18).await;
    let flow = std::fs::read_to_string(shop.path("flow.yaml")).unwrap();
    let (start, _) = flow.split_once("  - {name: out").unwrap();
    std::fs::write(shop.path("flow.yaml"), format!("{start}  - {{name: out, type: stdout}}\n")).unwrap();
    shop.run(&["run", &shop.path("flow.yaml"), "--until-idle"], 0).await;
    shop.database.execute("INSERT INTO orders SELECT n, 'x', n FROM generate_series(1, 20000) n").await;
    let command = format!("set -o pipefail; '{DUCTSTREAM}' run '{}' | head -n 3", shop.path("flow.yaml"));
    let state = shop.path("state");
    let finished = Process::start("bash", ["-c", &command], &[("DUCTSTREAM_STATE", state.as_str())]).wait().await;
    let finished = finished.expect_code(0);
    let ids: Vec<_> =
        finished.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
    assert_eq!(ids, [1, 2, 3]);
    // What was not printed as a whole is not durable, so nothing is lost.
    let rest = shop.run(&["run", &shop.path("flow.yaml"), "--until-idle"], 0).await;
    assert_eq!(serde_json::from_str::<Value>(rest.stdout.lines().last().unwrap()).unwrap()["id"], 20000);
}

async fn wait_for_slot(shop: &Shop) {
    let sql = format!(
        "SELECT count(*) FROM pg_replication_slots WHERE database = '{}' AND active AND temporary AND confirmed_flush_lsn IS NOT NULL",
        shop.database.name()
    );
    process::eventually("the temporary slot is there", async || shop.database.query_value(&sql).await == "1").await;
}
