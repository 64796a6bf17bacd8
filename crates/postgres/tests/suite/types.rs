//! Every type, as real servers send it in both formats, against what they print and say of it.

#[path = "types/cases.rs"]
mod cases;
#[path = "types/shown.rs"]
mod shown;

use arrow_array::ArrayRef;
use arrow_schema::DataType;
use ductstream_postgres::types::{
    ColumnBuilder, ColumnProgram, SESSION_SETTINGS, SpecialValues, TypeCatalog, ValueError,
};
use ductstream_testkit::postgres::{Postgres, TestDatabase, supported_versions};
use futures::TryStreamExt;
use tokio_postgres::{Client, SimpleQueryMessage};

use cases::{Case, Read, SETUP, cases};
use shown::shown;

/// One session of a fresh database that has the types of [`SETUP`].
struct Session {
    client: Client,
    database: TestDatabase,
    version: u16,
    catalog: TypeCatalog,
}

/// A value in both formats, and in the form in which the case's check shows it.
struct Sent {
    binary: Option<Vec<u8>>,
    text: Option<String>,
    checked: Option<String>,
}

impl Session {
    async fn begin(version: u16) -> Self {
        let database = Postgres::version(version).await.database().await;
        database.execute(SETUP).await;
        let client = database.connect().await;
        for (name, value) in SESSION_SETTINGS {
            client.batch_execute(&format!("SET {name} = '{value}'")).await.unwrap();
        }
        Self { client, database, version, catalog: TypeCatalog::new() }
    }

    async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let messages = self.client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
            _ => None,
        });
        rows.collect()
    }

    /// A table of the case's values, whose column is compiled with each policy.
    async fn column(&mut self, case: &Case) -> (u32, i32) {
        let table = format!(
            "DROP TABLE IF EXISTS t; CREATE TEMP TABLE t (n serial, v {}); INSERT INTO t (v) SELECT NULL; {}",
            case.sql_type,
            case.values.iter().map(|value| format!("INSERT INTO t (v) SELECT {value};")).collect::<String>()
        );
        self.client.batch_execute(&table).await.unwrap_or_else(|error| panic!("{table}: {error:?}"));
        let column = "SELECT atttypid, atttypmod FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'v'";
        let row = self.rows(column).await.remove(0);
        let oid = row[0].as_ref().unwrap().parse().unwrap();
        self.learn(oid).await;
        (oid, row[1].as_ref().unwrap().parse().unwrap())
    }

    async fn learn(&mut self, oid: u32) {
        loop {
            let missing = self.catalog.missing([oid]);
            if missing.is_empty() {
                return;
            }
            for row in self.rows(&TypeCatalog::query(&missing)).await {
                let row: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
                self.catalog.add_row(&row).unwrap();
            }
        }
    }

    async fn sent(&self, case: &Case) -> Vec<Sent> {
        let texts = self
            .rows(&format!(
                "SELECT v, CASE WHEN v IS NOT DISTINCT FROM NULL THEN NULL ELSE {} END FROM t ORDER BY n",
                case.check
            ))
            .await;
        let binaries = self.binaries(texts.len(), case).await;
        let pair = |(binary, mut row): (_, Vec<_>)| Sent { binary, checked: row.remove(1), text: row.remove(0) };
        binaries.into_iter().zip(texts).map(pair).collect()
    }

    /// What the send function writes; nothing for a type that has none.
    async fn binaries(&self, count: usize, case: &Case) -> Vec<Option<Vec<u8>>> {
        if case.read == Read::NeverBinary {
            return vec![None; count];
        }
        let copy = "COPY (SELECT v FROM t ORDER BY n) TO STDOUT (FORMAT binary)";
        let chunks: Vec<_> = self.client.copy_out(copy).await.unwrap().try_collect().await.unwrap();
        parse_copy(&chunks.concat())
    }
}

/// Takes a binary COPY of one column apart.
fn parse_copy(bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut rest = &bytes[19..];
    let mut take = |len: usize| {
        let (head, tail) = rest.split_at(len);
        rest = tail;
        head.to_vec()
    };
    let mut values = Vec::new();
    while take(2) == [0, 1] {
        let len = i32::from_be_bytes(take(4).try_into().unwrap());
        values.push(usize::try_from(len).ok().map(&mut take));
    }
    values
}

type Appended = Vec<Result<(), ValueError>>;

fn append<'a>(builder: &mut ColumnBuilder, values: impl Iterator<Item = Option<&'a [u8]>>, binary: bool) -> Appended {
    let append = |value| match value {
        None => {
            builder.append_null();
            Ok(())
        }
        Some(bytes) if binary => builder.append_binary(bytes),
        Some(bytes) => builder.append_text(bytes),
    };
    values.map(append).collect()
}

fn from_text(program: &ColumnProgram, sent: &[Sent]) -> (Appended, ArrayRef) {
    let mut builder = program.builder(0);
    let appended = append(&mut builder, sent.iter().map(|sent| sent.text.as_deref().map(str::as_bytes)), false);
    (appended, builder.finish())
}

fn from_binary(program: &ColumnProgram, sent: &[Sent]) -> (Appended, ArrayRef) {
    let mut builder = program.builder(0);
    let appended = append(&mut builder, sent.iter().map(|sent| sent.binary.as_deref()), true);
    (appended, builder.finish())
}

async fn for_every_case(mut check: impl AsyncFnMut(&mut Session, &Case, (u32, i32), Vec<Sent>)) {
    for version in supported_versions() {
        let mut session = Session::begin(version).await;
        for case in cases().filter(|case| case.since <= version) {
            let column = session.column(case).await;
            let sent = session.sent(case).await;
            assert!(sent.len() > case.values.len(), "{} lost values", case.sql_type);
            check(&mut session, case, column, sent).await;
        }
        drop(session.database);
    }
}

#[tokio::test]
async fn every_value_is_the_same_from_both_formats_and_is_what_the_server_says_of_it() {
    for_every_case(async |session, case, (oid, typmod), sent| {
        let program = ColumnProgram::compile(&session.catalog, oid, typmod, SpecialValues::Error);
        let (appended, array) = from_text(&program, &sent);
        let at = format!("{} on PostgreSQL {}", case.sql_type, session.version);
        assert_eq!(array.data_type(), program.data_type(), "{at}");
        if case.read == Read::Both {
            let (binary_appended, binary_array) = from_binary(&program, &sent);
            for (sent, (binary, text)) in sent.iter().zip(binary_appended.iter().zip(&appended)) {
                assert_eq!(binary, text, "{at}: {:?}", sent.text);
            }
            assert_eq!(&binary_array, &array, "{at}");
        }

        let mut rows = 0..array.len();
        for (sent, appended) in sent.iter().zip(appended) {
            match appended {
                Ok(()) => assert_eq!(shown(&array, rows.next().unwrap()), sent.checked, "{at}: {:?}", sent.text),
                Err(ValueError::Special(_)) if case.special => {}
                Err(error) => panic!("{at}: {:?}: {error}", sent.text),
            }
        }
        assert_eq!(rows.next(), None, "{at}: a failed append left something behind");
    })
    .await;
}

#[tokio::test]
async fn under_the_text_policy_a_column_that_may_hold_special_values_holds_exactly_what_the_server_prints() {
    for_every_case(async |session, case, (oid, typmod), sent| {
        let program = ColumnProgram::compile(&session.catalog, oid, typmod, SpecialValues::Text);
        let usual = ColumnProgram::compile(&session.catalog, oid, typmod, SpecialValues::Error);
        let at = format!("{} on PostgreSQL {}", case.sql_type, session.version);
        assert_eq!(
            program.data_type() == &DataType::Utf8,
            case.special || usual.data_type() == &DataType::Utf8,
            "{at}"
        );
        let mut read = vec![from_text(&program, &sent)];
        if case.read == Read::Both {
            read.push(from_binary(&program, &sent));
        }
        for (appended, array) in read {
            assert_eq!(appended.iter().find(|appended| appended.is_err()), None, "{at}");
            for (row, sent) in sent.iter().enumerate().filter(|_| program.data_type() == &DataType::Utf8) {
                assert_eq!(shown(&array, row), sent.text, "{at}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn under_the_null_policy_only_special_values_become_null() {
    for_every_case(async |session, case, (oid, typmod), sent| {
        let programs = [SpecialValues::Error, SpecialValues::Null]
            .map(|special| ColumnProgram::compile(&session.catalog, oid, typmod, special));
        let (usual, _) = from_text(&programs[0], &sent);
        let (appended, array) = from_text(&programs[1], &sent);
        assert_eq!(appended.iter().find(|appended| appended.is_err()), None, "{}", case.sql_type);
        assert_eq!(array.len(), sent.len(), "{}", case.sql_type);
        for (row, (sent, usual)) in sent.iter().zip(usual).enumerate().filter(|(_, (_, usual))| usual.is_ok()) {
            assert_eq!(array.is_null(row), sent.text.is_none(), "{}: {:?} {usual:?}", case.sql_type, sent.text);
        }
        if case.read == Read::Both {
            assert_eq!(&from_binary(&programs[1], &sent).1, &array, "{}", case.sql_type);
        }
    })
    .await;
}

#[tokio::test]
async fn types_that_only_their_text_tells_are_known_as_such_and_their_binary_form_is_refused() {
    for_every_case(async |session, case, (oid, typmod), sent| {
        let program = ColumnProgram::compile(&session.catalog, oid, typmod, SpecialValues::Error);
        assert_eq!(program.decodes_binary(), case.read != Read::TextOnly, "{}", case.sql_type);
        assert_eq!(session.catalog.decode_binary([oid]), program.decodes_binary(), "{}", case.sql_type);
        if case.read == Read::TextOnly {
            let (appended, _) = from_binary(&program, &sent);
            for (sent, appended) in sent.iter().zip(appended).filter(|(sent, _)| sent.binary.is_some()) {
                assert!(matches!(appended, Err(ValueError::Malformed(_))), "{}: {:?}", case.sql_type, sent.text);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn types_are_named_as_the_server_names_them() {
    for_every_case(async |session, case, (oid, typmod), _| {
        let named = session.rows(&format!("SELECT pg_catalog.format_type({oid}, {typmod})")).await.remove(0).remove(0);
        assert_eq!(Some(session.catalog.format_type(oid, typmod)), named, "{}", case.sql_type);
    })
    .await;
}
