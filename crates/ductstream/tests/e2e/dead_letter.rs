//! Records that Kafka does not take: kept apart while the flow goes on, looked at, and delivered later.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use ductstream_testkit::kafka::{Kafka, Message};
use ductstream_testkit::postgres::TestDatabase;
use ductstream_testkit::process::eventually;
use ductstream_testkit::s3::S3Server;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::harness::{DUCTSTREAM, Flow, files, signal};
use crate::kafka::{broker, flow, read, shop};

/// Rows whose id ends in 5 are larger than a message of 20 kB; each is between others, and each key changes three times.
const CHANGES: &str = "
    insert into shop select id, 1, repeat('x', case when id % 10 = 5 then 30000 else 10 end) from generate_series(1, 200) id;
    update shop set n = n + 1 where id % 10 <> 5;
    update shop set n = n + 1, note = 'short' where id % 10 = 5 and id > 100;
    update shop set n = n + 1 where id % 10 <> 5";

/// Of `CHANGES`, those that are too large.
const TOO_LARGE: usize = 20;

fn dead_lettering(flow: &mut Flow, more: &str) {
    flow.edit("format: json\n", &format!("format: json\non_error: dead_letter\n{more}"));
}

async fn dead_letter(flow: &Flow, command: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut process = Command::new(DUCTSTREAM);
    process.arg("--state").arg(flow.state()).args(["dead-letter", command]).arg(flow.file()).args(arguments);
    let output = process.stdin(Stdio::null()).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

async fn letters(flow: &Flow, arguments: &[&str]) -> Vec<Value> {
    let (code, out, said) = dead_letter(flow, "list", &[arguments, &["--json"]].concat()).await;
    assert_eq!(code, 0, "{said}");
    serde_json::from_str(&out).unwrap()
}

/// The changes of each key in the order in which they arrived: operation and `n`.
fn by_key(messages: &[Message]) -> BTreeMap<String, Vec<(String, i64)>> {
    let mut found: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
    for message in messages {
        let value = message.value().unwrap();
        let change = (value["_op"].as_str().unwrap().to_owned(), value["n"].as_i64().unwrap());
        found.entry(message.key().unwrap().to_owned()).or_default().push(change);
    }
    found
}

fn change(op: &str, n: i64) -> (String, i64) {
    (op.to_owned(), n)
}

/// Everything that is not too large arrived once, in order per key.
fn the_others_arrived(messages: &[Message]) {
    let found = by_key(messages);
    for id in 1..=200 {
        let key = json!({"id": id}).to_string();
        let expected = match (id % 10 == 5, id > 100) {
            (false, _) => vec![change("insert", 1), change("update", 2), change("update", 3)],
            (true, true) => vec![change("update", 2)],
            (true, false) => vec![],
        };
        assert_eq!(found.get(&key).cloned().unwrap_or_default(), expected, "key {key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_kept_apart_and_delivered_once_the_limit_is_raised() {
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    let (mut flow, prefix) = flow(&kafka, &database, "create_topics: {partitions: 3}, max_message_size: 20kB");
    let topic = format!("{prefix}public.shop");
    dead_lettering(&mut flow, "");
    flow.create().await;
    assert_eq!(letters(&flow, &["--all"]).await, Vec::<Value>::new());
    database.execute(CHANGES).await;
    let output = flow.command("run", &["--until-idle", "--json"]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let events = String::from_utf8(output.stdout).unwrap();
    let last: Value = serde_json::from_str(events.lines().rfind(|line| line.contains("\"status\"")).unwrap()).unwrap();
    assert_eq!(last["destinations"]["bus"]["refused"], TOO_LARGE, "{last}");
    the_others_arrived(&read(&kafka, &[&topic]).await);

    let waiting = letters(&flow, &[]).await;
    assert_eq!(waiting.len(), TOO_LARGE);
    for letter in &waiting {
        assert_eq!((&letter["destination"], &letter["table"]), (&json!("bus"), &json!("public.shop")));
        let position = &letter["position"];
        assert!(position["commit_lsn"].is_string() && position["seq"].is_u64(), "{letter}");
        let error = letter["error"]["message"].as_str().unwrap();
        assert!(error.contains("above the 20000 of `max_message_size`"), "{error}");
    }
    let id = waiting[0]["id"].as_str().unwrap();
    let (_, table, _) = dead_letter(&flow, "list", &[]).await;
    assert!(table.starts_with("ID ") && table.contains(id) && table.lines().count() == TOO_LARGE + 1, "{table}");
    let (code, shown, _) = dead_letter(&flow, "show", &[id]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((code, &shown["record"]["op"], &shown["record"]["after"]["n"]), (0, &json!("insert"), &json!(1)));
    assert_eq!(shown["record"]["after"]["note"].as_str().unwrap().len(), 30_000);
    assert_eq!(shown["record"]["position"], shown["position"]);
    assert_eq!(original(&flow, id).await["after"], shown["record"]["after"]);

    let check = flow.command("check", &[]).output().await.unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(said.contains("20 records could not be delivered") && said.contains("dead-letter replay"), "{said}");

    let (code, _, said) = dead_letter(&flow, "replay", &[id]).await;
    assert!(code == 1 && said.contains(&format!("refused {id} again")), "{code}: {said}");
    flow.edit("max_message_size: 20kB", "max_message_size: 100kB");
    let (code, _, said) = dead_letter(&flow, "replay", &[id]).await;
    assert!(code == 0 && said.contains(&format!("replayed {id} to bus")), "{code}: {said}");
    assert_eq!(letters(&flow, &[]).await.len(), TOO_LARGE - 1);
    let (code, _, said) = dead_letter(&flow, "replay", &[]).await;
    assert_eq!(code, 0, "{said}");
    for _ in 0..2 {
        let (code, _, said) = dead_letter(&flow, "replay", &[]).await;
        assert!(code == 0 && said.contains("nothing to replay"), "{code}: {said}");
    }
    assert_eq!(letters(&flow, &[]).await, Vec::<Value>::new());
    assert!(letters(&flow, &["--all"]).await.iter().all(|letter| letter["replayed_at"].is_string()));
    agrees(&read(&kafka, &[&topic]).await, &database).await;
    let (code, _, said) = dead_letter(&flow, "show", &["nothing"]).await;
    assert!(code == 2 && said.contains("there is no dead letter nothing"), "{code}: {said}");
}

/// A letter's record as it came from the source, as `decode` prints it.
async fn original(flow: &Flow, id: &str) -> Value {
    let mut show = Command::new(DUCTSTREAM);
    show.arg("--state").arg(flow.state()).args(["dead-letter", "show", "--original"]).arg(flow.file()).arg(id);
    let bytes = show.output().await.unwrap().stdout;
    let mut decode =
        Command::new(DUCTSTREAM).args(["decode", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    decode.stdin.take().unwrap().write_all(&bytes).await.unwrap();
    serde_json::from_slice(&decode.wait_with_output().await.unwrap().stdout).unwrap()
}

/// Every change is there once, and the last of each key by its position is the source's row.
async fn agrees(messages: &[Message], database: &TestDatabase) {
    let positions: BTreeSet<_> = messages.iter().map(Message::position).collect();
    assert_eq!(positions.len(), messages.len(), "each change once");
    let mut newest: BTreeMap<&str, &Message> = BTreeMap::new();
    for message in messages {
        let last = newest.entry(message.key().unwrap()).or_insert(message);
        if last.position() < message.position() {
            *last = message;
        }
    }
    let found: BTreeMap<i64, i64> = newest
        .values()
        .map(|message| message.value().unwrap())
        .map(|row| (row["id"].as_i64().unwrap(), row["n"].as_i64().unwrap()))
        .collect();
    let rows = database.query("select id, n from shop").await;
    let number = |text: &Option<String>| text.as_ref().unwrap().parse::<i64>().unwrap();
    assert_eq!(found, rows.iter().map(|row| (number(&row[0]), number(&row[1]))).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_around_a_dead_letter_loses_and_doubles_none() {
    let kafka = broker(Kafka::shared).await;
    for exactly_once in [false, true] {
        let database = shop(18).await;
        let settings =
            format!("exactly_once: {exactly_once}, create_topics: {{partitions: 3}}, max_message_size: 20kB");
        let (mut flow, prefix) = flow(&kafka, &database, &settings);
        // Small batches: each point is passed several times.
        flow.edit("  type: postgres\n", "  type: postgres\n  batch_size: 64KiB\n");
        dead_lettering(&mut flow, "");
        flow.create().await;
        database.execute(CHANGES).await;
        let mut kept = 0;
        for (point, count) in [
            ("kafka::before_refusal", 0),
            ("kafka::after_refusal", 1),
            ("kafka::after_refusal", 0),
            ("runner::durable", 1),
        ] {
            let crash = format!("{point}={count}*off->return");
            let crashed = flow.command("run", &["--until-idle"]).env("FAILPOINTS", crash).output().await.unwrap();
            assert!(!crashed.status.success(), "{point}: {}", String::from_utf8_lossy(&crashed.stderr));
            let found = letters(&flow, &[]).await.len();
            assert!(
                found >= kept && (point != "kafka::after_refusal" || found > 0),
                "{point}: {found}, and {kept} before"
            );
            kept = found;
        }
        flow.drain().await;
        let found = letters(&flow, &[]).await;
        let ids: BTreeSet<&str> = found.iter().map(|letter| letter["id"].as_str().unwrap()).collect();
        assert_eq!((found.len(), ids.len()), (TOO_LARGE, TOO_LARGE));
        let mut messages = read(&kafka, &[&format!("{prefix}public.shop")]).await;
        let mut seen = BTreeSet::new();
        let before = messages.len();
        messages.retain(|message| seen.insert(message.position()));
        assert!(!exactly_once || messages.len() == before, "a change is there twice");
        the_others_arrived(&messages);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_does_not_end_the_run_of_a_flow_that_writes_exactly_once() {
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    let (mut flow, prefix) =
        flow(&kafka, &database, "exactly_once: true, create_topics: {partitions: 3}, max_message_size: 20kB");
    dead_lettering(&mut flow, "");
    flow.create().await;
    database.execute(CHANGES).await;
    flow.drain().await;
    flow.edit("max_message_size: 20kB", "max_message_size: 100kB");
    let mut run = flow.start();
    let topic = format!("{prefix}public.shop");
    let (code, _, said) = dead_letter(&flow, "replay", &[]).await;
    assert_eq!(code, 0, "{said}");
    database.execute("insert into shop values (1000, 1, 'later')").await;
    eventually("the change behind the replay", || async {
        read(&kafka, &[&topic]).await.iter().any(|message| message.key() == Some("{\"id\":1000}"))
    })
    .await;
    signal(&run, "TERM");
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", flow.log());
    agrees(&read(&kafka, &[&topic]).await, &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_lie_in_an_object_store_or_a_topic_where_the_flow_says_so() {
    let s3 = S3Server::start();
    let kafka = broker(Kafka::shared).await;
    for (format, place) in [("avro", "lake"), ("proto", "topic"), ("json", "path"), ("json", "s3")] {
        let database = shop(18).await;
        let (mut flow, prefix) = flow(&kafka, &database, "create_topics: {partitions: 3}, max_message_size: 20kB");
        let (lake, path) = (flow.directory.path().join("lake"), flow.directory.path().join("refused"));
        let section = match place {
            "lake" | "s3" => "dead_letters: {destination: lake}\n".to_owned(),
            "topic" => format!("dead_letters: {{destination: bus, topic: {prefix}refused}}\n"),
            _ => format!("dead_letters: {{path: {}}}\n", path.display()),
        };
        dead_lettering(&mut flow, &section);
        flow.edit("type: kafka,", &format!("type: kafka, format: {format},"));
        let store = match place {
            "s3" => format!(
                "type: s3, bucket: {}, endpoint: \"{}\", prefix: shop, access_key_id: {}, secret_access_key: {}",
                s3.bucket(),
                s3.endpoint(),
                s3.access_key(),
                s3.secret_key()
            ),
            _ => format!("type: file, path: {}", lake.display()),
        };
        flow.edit("destinations:\n", &format!("destinations:\n  - {{name: lake, {store}}}\n"));
        flow.create().await;
        database.execute(CHANGES).await;
        flow.drain().await;
        // Its recovery looks at everything below the prefix.
        database.execute("update shop set n = 9 where id = 1").await;
        flow.drain().await;
        let found = letters(&flow, &[]).await;
        assert_eq!(found.len(), TOO_LARGE, "{place}");
        let documents = match place {
            "lake" => files(&lake.join("_dead_letters").join(&flow.name), "json").len(),
            "s3" => files(&s3.root().join("shop/_dead_letters").join(&flow.name), "json").len(),
            "topic" => read(&kafka, &[&format!("{prefix}refused")]).await.len(),
            _ => files(&path.join(&flow.name), "json").len(),
        };
        assert_eq!(documents, TOO_LARGE, "{place}");
        let id = found[7]["id"].as_str().unwrap();
        let (_, shown, _) = dead_letter(&flow, "show", &[id, "--destination", "bus"]).await;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!((&shown["record"]["table"], &shown["id"]), (&json!("public.shop"), &json!(id)));
        flow.edit("max_message_size: 20kB", "max_message_size: 100kB");
        let (code, _, said) = dead_letter(&flow, "replay", &[]).await;
        assert_eq!(code, 0, "{place}: {said}");
        assert_eq!(letters(&flow, &[]).await, Vec::<Value>::new(), "{place}");
        assert_eq!(letters(&flow, &["--all"]).await.len(), TOO_LARGE, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_dead_letters_the_flow_stops_at_the_record_or_skips_it_by_name() {
    let kafka = broker(Kafka::shared).await;
    let database = shop(18).await;
    let (mut flow, prefix) = flow(&kafka, &database, "create_topics: {partitions: 3}, max_message_size: 20kB");
    flow.create().await;
    database.execute(CHANGES).await;
    let (code, said) = flow.fails("run", &["--until-idle"]).await;
    assert!(code == 1 && said.contains("raise `max_message_size`"), "{code}: {said}");
    flow.edit("format: json\n", "format: json\non_error: skip\n");
    let (code, said) = flow.fails("run", &["--until-idle"]).await;
    assert_eq!((code, said.matches("skipped: ").count()), (0, TOO_LARGE), "{said}");
    the_others_arrived(&read(&kafka, &[&format!("{prefix}public.shop")]).await);
    assert_eq!(letters(&flow, &["--all"]).await, Vec::<Value>::new());
}
