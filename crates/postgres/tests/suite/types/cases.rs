//! Types, values at and beyond their edges, and what to ask the server about each.

#[path = "cases/nested.rs"]
mod nested;
#[path = "cases/printed.rs"]
mod printed;
#[path = "cases/scalar.rs"]
mod scalar;

/// Which formats a type's values are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// Both.
    Both,
    /// Text; the binary form exists and says too little.
    TextOnly,
    /// Text; the server has no binary form.
    NeverBinary,
}

pub(super) struct Case {
    pub(super) sql_type: &'static str,
    /// SQL that gives values of the type, one or many.
    pub(super) values: &'static [&'static str],
    /// SQL that shows a value `v` as `shown` shows what was read.
    pub(super) check: &'static str,
    /// Whether the type has values that its Arrow type cannot hold.
    pub(super) special: bool,
    pub(super) read: Read,
    /// The first server version that knows the type.
    pub(super) since: u16,
}

impl Case {
    const fn new(sql_type: &'static str, values: &'static [&'static str], check: &'static str) -> Self {
        Self { sql_type, values, check, special: false, read: Read::Both, since: 14 }
    }

    /// A column of text as the server prints it.
    const fn printed(sql_type: &'static str, values: &'static [&'static str]) -> Self {
        Self::new(sql_type, values, PRINTED)
    }

    const fn special(self) -> Self {
        Self { special: true, ..self }
    }

    const fn read(self, read: Read) -> Self {
        Self { read, ..self }
    }

    const fn since(self, since: u16) -> Self {
        Self { since, ..self }
    }
}

/// As the type's output function prints it. (A cast to text is something else for some types.)
const PRINTED: &str = "(format('%s', v))";

/// Types that are not there from the start.
pub(super) const SETUP: &str = "
    CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION cube;
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'so so', 'it''s \"fine\"');
    CREATE DOMAIN positive AS integer CHECK (value > 0);
    CREATE DOMAIN price AS numeric(8,2);
    CREATE DOMAIN labels AS text[];
    CREATE TYPE pair AS (a integer, b text);
    CREATE TYPE nested AS (p pair, at date, n numeric(6,2), l integer[], m mood);
    CREATE TYPE texts AS (a text, \"the b\" citext);
    CREATE TYPE nothing AS ();
    CREATE TYPE floats AS RANGE (subtype = float8, multirange_type_name = many_floats);
    CREATE TYPE words AS RANGE (subtype = text, collation = \"C\");
    CREATE SCHEMA app; CREATE TYPE app.\"Odd name\" AS ENUM ('x');";

/// Every type.
pub(super) fn cases() -> impl Iterator<Item = &'static Case> {
    [scalar::CASES, printed::CASES, nested::CASES].into_iter().flatten()
}
