//! Types by OID.

use std::collections::HashMap;

use ductstream_core::{Error, Result};
use serde::Deserialize;

use super::{builtin, format_type};

/// A type of the source database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeInfo {
    /// The type's OID.
    pub oid: u32,
    /// The schema that holds it.
    pub namespace: String,
    /// Its name in `pg_type`, such as `int4` or `_text`.
    pub name: String,
    /// Its name as the server quotes it, with the schema in front unless that is `public` or `pg_catalog`.
    pub display_name: String,
    /// What it is made of.
    pub kind: TypeKind,
    /// The extension that owns it.
    pub extension: Option<String>,
    /// What separates the elements of an array of it.
    pub delimiter: u8,
    /// Whether the server has a binary form of it. Its values arrive as text on every connection when not.
    pub sends_binary: bool,
    /// Whether the type prints its modifier in a way of its own.
    pub prints_typmod: bool,
}

/// What a type is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeKind {
    /// Nothing but itself.
    Base,
    /// Labels.
    Enum {
        /// The labels in their order; empty when they are not known.
        labels: Vec<String>,
    },
    /// Elements of one type.
    Array {
        /// The elements' type.
        element: u32,
    },
    /// Named fields of their own types.
    Composite {
        /// The fields in order, without dropped ones.
        fields: Vec<CompositeField>,
    },
    /// Another type, with constraints.
    Domain {
        /// The type below.
        base: u32,
        /// The type modifier that it applies.
        typmod: i32,
    },
    /// Two bounds.
    Range {
        /// The bounds' type.
        subtype: u32,
    },
    /// Ranges.
    Multirange {
        /// The ranges' type.
        range: u32,
    },
}

/// One field of a composite type.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CompositeField {
    /// Its name.
    pub name: String,
    /// Its type's OID.
    pub oid: u32,
    /// Its type modifier; -1 when there is none.
    pub typmod: i32,
}

/// The types of one database by OID.
#[derive(Debug, Clone)]
pub struct TypeCatalog {
    types: HashMap<u32, TypeInfo>,
}

impl Default for TypeCatalog {
    fn default() -> Self {
        Self::new()
    }
}

/// Columns of a row of [`TypeCatalog::query`].
const COLUMNS: usize = 14;

impl TypeCatalog {
    /// A catalog of the built-in types.
    pub fn new() -> Self {
        let mut types = HashMap::new();
        for (oid, name, array, kind) in builtin::types() {
            types.insert(oid, built_in(oid, name, kind));
            types.insert(array, built_in(array, &format!("_{name}"), TypeKind::Array { element: oid }));
        }
        Self { types }
    }

    /// The type of this OID, if it is known.
    pub fn get(&self, oid: u32) -> Option<&TypeInfo> {
        self.types.get(&oid)
    }

    /// Which of `oids`, and of the types that the known ones among them are made of, are not known yet, ascending.
    ///
    /// Ask the server for them with [`query`](Self::query), add its rows, and ask here again until nothing is missing
    /// or a query returns no row (the type was dropped meanwhile; its columns are read as text).
    pub fn missing(&self, oids: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut pending: Vec<u32> = oids.into_iter().collect();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(oid) = pending.pop() {
            if oid != 0
                && seen.insert(oid)
                && let Some(info) = self.types.get(&oid)
            {
                pending.extend(info.kind.parts());
            }
        }
        seen.retain(|oid| !self.types.contains_key(oid));
        seen.into_iter().collect()
    }

    /// The query whose rows, as text, [`add_row`](Self::add_row) takes. Works on PostgreSQL 14 and later, with any
    /// `search_path`.
    pub fn query(oids: &[u32]) -> String {
        let list: Vec<String> = oids.iter().map(u32::to_string).collect();
        let list = if list.is_empty() { "0".to_owned() } else { list.join(",") };
        format!("{QUERY} WHERE t.oid IN ({list})")
    }

    /// Adds the type that a row of [`query`](Self::query) describes, in place of what was known of its OID.
    ///
    /// # Errors
    /// The row is not one of that query.
    pub fn add_row(&mut self, row: &[Option<&str>]) -> Result<()> {
        let info = parse_row(row).ok_or_else(|| Error::bug(format!("the catalog described a type as {row:?}")))?;
        self.types.insert(info.oid, info);
        Ok(())
    }

    /// The type as the server's `format_type` prints it, such as `numeric(12,2)` or `text[]`. Types outside of `public`
    /// and `pg_catalog` carry their schema's name, and an unknown type its OID.
    pub fn format_type(&self, oid: u32, typmod: i32) -> String {
        format_type::format_type(self, oid, typmod)
    }

    /// Whether values of all these types can be read from a connection that asks for binary values; see
    /// [`ColumnProgram::decodes_binary`](super::ColumnProgram::decodes_binary).
    pub fn decode_binary(&self, oids: impl IntoIterator<Item = u32>) -> bool {
        oids.into_iter().all(|oid| super::wire_type::decodes_binary(self, oid))
    }
}

impl TypeKind {
    /// OIDs of the types that it is made of.
    fn parts(&self) -> Vec<u32> {
        match self {
            Self::Base | Self::Enum { .. } => Vec::new(),
            Self::Array { element: part }
            | Self::Domain { base: part, .. }
            | Self::Range { subtype: part }
            | Self::Multirange { range: part } => vec![*part],
            Self::Composite { fields } => fields.iter().map(|field| field.oid).collect(),
        }
    }
}

fn built_in(oid: u32, name: &str, kind: TypeKind) -> TypeInfo {
    TypeInfo {
        oid,
        namespace: "pg_catalog".to_owned(),
        name: name.to_owned(),
        display_name: name.to_owned(),
        kind,
        extension: None,
        delimiter: if oid == builtin::BOX { b';' } else { b',' },
        sends_binary: !builtin::WITHOUT_SEND.contains(&oid),
        prints_typmod: false,
    }
}

/// Each name is written with its schema: the query must not depend on the session's `search_path`.
const QUERY: &str = "SELECT t.oid, n.nspname, t.typname, \
    CASE WHEN n.nspname IN ('public', 'pg_catalog') THEN '' ELSE pg_catalog.quote_ident(n.nspname) || '.' END \
      || pg_catalog.quote_ident(t.typname), \
    t.typtype, \
    CASE WHEN e.oid IS NULL THEN 0 ELSE t.typelem END, \
    t.typbasetype, t.typtypmod, \
    COALESCE(r.rngsubtype, 0), COALESCE(m.rngtypid, 0), \
    (SELECT x.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid \
      WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid \
      AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'), \
    t.typdelim, (t.typsend <> 0)::pg_catalog.int4 + 2 * (t.typmodout <> 0)::pg_catalog.int4, \
    CASE t.typtype \
      WHEN 'c' THEN (SELECT pg_catalog.json_agg(pg_catalog.json_build_object( \
          'name', a.attname, 'oid', a.atttypid::pg_catalog.int8, 'typmod', a.atttypmod) ORDER BY a.attnum) \
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) \
      WHEN 'e' THEN (SELECT pg_catalog.json_agg(l.enumlabel ORDER BY l.enumsortorder) \
        FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid) \
    END \
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
    LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid \
    LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid \
    LEFT JOIN pg_catalog.pg_range m ON m.rngmultitypid = t.oid";

fn parse_row(row: &[Option<&str>]) -> Option<TypeInfo> {
    let row: &[Option<&str>; COLUMNS] = row.try_into().ok()?;
    let [
        oid,
        namespace,
        name,
        display_name,
        typtype,
        element,
        base,
        typmod,
        subtype,
        range,
        extension,
        delimiter,
        flags,
        parts,
    ] = *row;
    let number = |text: Option<&str>| text?.parse::<u32>().ok();
    let element = number(element)?;
    let kind = match typtype? {
        "c" => {
            TypeKind::Composite { fields: parts.map_or(Some(Vec::new()), |fields| serde_json::from_str(fields).ok())? }
        }
        "d" => TypeKind::Domain { base: number(base)?, typmod: typmod?.parse().ok()? },
        "e" => TypeKind::Enum { labels: parts.map_or(Some(Vec::new()), |labels| serde_json::from_str(labels).ok())? },
        "r" => TypeKind::Range { subtype: number(subtype)? },
        "m" => TypeKind::Multirange { range: number(range)? },
        _ if element != 0 => TypeKind::Array { element },
        _ => TypeKind::Base,
    };
    let flags = number(flags)?;
    Some(TypeInfo {
        oid: number(oid)?,
        namespace: namespace?.to_owned(),
        name: name?.to_owned(),
        display_name: display_name?.to_owned(),
        kind,
        extension: extension.map(str::to_owned),
        delimiter: *delimiter?.as_bytes().first()?,
        sends_binary: flags & 1 != 0,
        prints_typmod: flags & 2 != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_types_are_known_and_what_others_are_made_of_is_missing_until_it_is_added() {
        let mut catalog = TypeCatalog::new();
        assert!(catalog.missing([23, 1007, 4451, 6150]).is_empty());
        let fields = r#"[{"name":"a","oid":23,"typmod":-1},{"name":"b","oid":90001,"typmod":-1}]"#;
        let row = |oid, name, typtype, fields| {
            let zero = Some("0");
            [
                Some(oid),
                Some("app"),
                Some(name),
                Some(name),
                Some(typtype),
                zero,
                zero,
                Some("-1"),
                zero,
                zero,
                None,
                Some(","),
                Some("1"),
                fields,
            ]
        };
        assert_eq!(catalog.missing([90000]), [90000]);
        catalog.add_row(&row("90000", "pair", "c", Some(fields))).unwrap();
        assert_eq!(catalog.missing([90000]), [90001]);
        catalog.add_row(&row("90001", "mood", "e", None)).unwrap();
        assert!(catalog.missing([90000]).is_empty());
        catalog.add_row(&row("90001", "mood", "e", Some(r#"["sad","ok"]"#))).unwrap();
        let labels = vec!["sad".to_owned(), "ok".to_owned()];
        assert_eq!(catalog.get(90001).unwrap().kind, TypeKind::Enum { labels });
        assert!(catalog.add_row(&[Some("1")]).is_err());
    }
}
