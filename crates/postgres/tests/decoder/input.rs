//! The databases that the corpus was recorded from, and what an input's header says.

use std::sync::LazyLock;

use ductstream_postgres::types::{SpecialValues, TypeCatalog};

use super::format::{Described, HEADER, VERSIONS};

/// The recorded catalogs, by version.
const DESCRIBED: [&str; VERSIONS] = [
    include_str!("../corpus/catalog-14.json"),
    include_str!("../corpus/catalog-15.json"),
    include_str!("../corpus/catalog-16.json"),
    include_str!("../corpus/catalog-17.json"),
    include_str!("../corpus/catalog-18.json"),
];

/// pgvector is no part of PostgreSQL: its types are made up, with their arrays.
pub(crate) const VECTOR: u32 = 4_000_000;
const PGVECTOR: [(u32, &str); 2] = [(VECTOR, "vector"), (VECTOR + 2, "halfvec")];

/// A database's types and keys.
pub(crate) struct Database {
    pub(crate) types: TypeCatalog,
    pub(crate) keys: Vec<(u32, Vec<String>)>,
}

static DATABASES: LazyLock<Vec<Database>> = LazyLock::new(|| DESCRIBED.into_iter().map(database).collect());

fn database(described: &str) -> Database {
    let Described { types: rows, keys } = serde_json::from_str(described).expect("a recorded catalog");
    let mut types = TypeCatalog::new();
    for row in &rows {
        let row: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
        types.add_row(&row).expect("a recorded type");
    }
    for (oid, name) in PGVECTOR {
        let [oid, array] = [oid, oid + 1].map(|oid| oid.to_string());
        let (array_name, zero) = (format!("_{name}"), "0");
        for (oid, name, element) in [(&oid, name, zero), (&array, &array_name, &oid)] {
            let row = [oid, "public", name, name, "b", element, zero, "-1", zero, zero, "vector", ",", "3"];
            let row: Vec<Option<&str>> = row.into_iter().map(Some).chain([None]).collect();
            types.add_row(&row).expect("a type of pgvector");
        }
    }
    Database { types, keys }
}

/// What an input's header says.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub(crate) database: &'static Database,
    pub(crate) special_values: SpecialValues,
    pub(crate) batch_bytes: usize,
    pub(crate) messages: bool,
}

/// Splits an input into its options and what follows the header.
pub(crate) fn read_header(input: &[u8]) -> (Options, &[u8]) {
    let byte = |index| input.get(index).copied().unwrap_or_default();
    let (version, options) = (usize::from(byte(0)), byte(1));
    let special_values = match options & 3 {
        1 => SpecialValues::Null,
        2 => SpecialValues::Text,
        _ => SpecialValues::Error,
    };
    let options = Options {
        database: &DATABASES[version % VERSIONS],
        special_values,
        batch_bytes: [1 << 20, 1, 4 << 10, 64 << 10][usize::from(options >> 2 & 3)],
        messages: options & 16 == 0,
    };
    (options, input.get(HEADER..).unwrap_or_default())
}
