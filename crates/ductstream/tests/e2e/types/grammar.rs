//! Random types: arrays, domains, composites, ranges and multiranges of each other, above the columns of [`COLUMNS`].

use super::columns::{COLUMNS, Column, Kind, OPAQUE};
pub(super) use crate::seeded::Random;

/// A type, and SQL for some of its values.
#[derive(Debug, Clone)]
pub(super) struct Type {
    pub(super) name: String,
    kind: Kind,
    values: Vec<String>,
    /// Whether it has an order, so that ranges and keys can be made of it.
    pub(super) ordered: bool,
    /// Whether the policy `text` makes its columns text.
    special: bool,
    /// Whether it is an array, of which there are no arrays.
    array: bool,
    delimiter: char,
}

/// The types of one database: those that the server brings, and those that SQL made.
pub(super) struct Types {
    pub(super) known: Vec<Type>,
    /// How many of them the server brings.
    pub(super) given: usize,
    /// What makes the others.
    pub(super) setup: Vec<String>,
    /// Whether special values are wanted.
    as_text: bool,
}

/// The types without an order that `<=` tells. Of ranges, that of their bounds.
const UNORDERED: &[&str] = &[
    "json",
    "jsonpath",
    "xml",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "aclitem",
    "xid",
    "pg_snapshot",
    "hstore",
    "boxes",
    "maps",
];

/// What has values that the policy `text` is for. Arrays have, too.
const SPECIAL: &[&str] = &[
    "numeric(12,2)",
    "numeric(38,0)",
    "numeric(38,37)",
    "numeric(50,10)",
    "numeric(76,20)",
    "numeric(5,-2)",
    "numeric(2,5)",
    "price",
    "date",
    "time",
    "time(3)",
    "timestamp",
    "timestamp(0)",
    "timestamptz",
    "interval",
    "interval year to month",
    "lists",
    "boxes",
];

/// Whether a value can stand in other values, and often: it is not large, and JSON shows it in one way only.
fn is_handy(value: &str) -> bool {
    !["repeat(", "generate_series", "10::numeric ^", "1e131071", "'null'", "E'{\\n", "' [ ] '"]
        .iter()
        .any(|large| value.contains(large))
}

impl Types {
    /// The types of `count` random declarations.
    pub(super) fn random(random: &mut Random, version: u16, as_text: bool, count: usize) -> Self {
        let mut leaves: Vec<&Column> = COLUMNS.iter().collect();
        // They make the whole flow ask for text.
        if random.once_in(4) {
            leaves.extend(OPAQUE);
        }
        let flat = leaves.into_iter().filter(|column| column.since <= version && is_flat(column));
        let known: Vec<Type> = flat.map(|column| leaf(column, as_text)).collect();
        let mut types = Self { given: known.len(), known, setup: Vec::new(), as_text };
        while types.known.len() < types.given + count {
            types.declare(random);
        }
        types
    }

    /// A type: often one of those that were made.
    fn some(&self, random: &mut Random, wanted: impl Fn(&Type) -> bool) -> Type {
        loop {
            let from = if random.once_in(2) { &self.known[self.given..] } else { &self.known[..] };
            if let Some(found) = (!from.is_empty()).then(|| random.pick(from)).filter(|found| wanted(found)) {
                return found.clone();
            }
        }
    }

    fn declare(&mut self, random: &mut Random) {
        let name = format!("made_{}", self.setup.len());
        match random.below(6) {
            0 | 1 => self.array(random),
            2 => self.domain(random, name),
            3 => self.composite(random, name),
            _ => self.range(random, name),
        }
    }

    fn array(&mut self, random: &mut Random) {
        let item = self.some(random, |item| !item.array);
        let name = format!("{}[]", item.name);
        let [one, two, three] = [0, 1, 2].map(|_| random.pick(&item.values).clone());
        let mut values = vec![
            format!("'{{}}'::{name}"),
            format!("array[null]::{name}"),
            format!("array[{one}, null, {two}]::{name}"),
            format!("array[{one}, {two}, {three}]::{name}"),
        ];
        if self.as_text {
            values.push(format!("array[array[{one}, {two}], array[null, {three}]]::{name}"));
            values.push(format!("array_fill({one}, array[2], array[{}])::{name}", random.below(9)));
        }
        self.known.push(Type {
            kind: self.kind(Kind::Array(leaked(item.kind), item.delimiter), true),
            name,
            values,
            ordered: item.ordered,
            special: true,
            array: true,
            delimiter: ',',
        });
    }

    fn domain(&mut self, random: &mut Random, name: String) {
        let base = self.some(random, |_| true);
        self.setup.push(format!("create domain {name} as {}", base.name));
        let values = base.values.iter().map(|value| format!("({value})::{name}")).collect();
        // A domain over an array can be the element of one, unlike the array.
        self.known.push(Type { name, values, array: false, ..base });
    }

    fn composite(&mut self, random: &mut Random, name: String) {
        const NAMES: &[&str] = &["a", "\"B b\"", "\"é,🐢\"", "lower", "\"select\""];
        let fields: Vec<Type> = (0..=random.below(NAMES.len())).map(|_| self.some(random, |_| true)).collect();
        let definitions: Vec<String> =
            fields.iter().zip(NAMES).map(|(field, name)| format!("{name} {}", field.name)).collect();
        self.setup.push(format!("create type {name} as ({})", definitions.join(", ")));
        let nulls = vec!["null"; fields.len()].join(", ");
        let mut values = vec![format!("row({nulls})::{name}")];
        for _ in 0..4 {
            let fields = fields.iter().map(|field| match random.once_in(5) {
                true => "null".to_owned(),
                false => random.pick(&field.values).clone(),
            });
            values.push(format!("row({})::{name}", fields.collect::<Vec<_>>().join(", ")));
        }
        let special = fields.iter().any(|field| field.special);
        let kinds: Vec<Kind> = fields.iter().map(|field| field.kind).collect();
        self.known.push(Type {
            kind: self.kind(Kind::Composite(kinds.leak()), special),
            name,
            values,
            ordered: fields.iter().all(|field| field.ordered),
            special,
            array: false,
            delimiter: ',',
        });
    }

    /// A range and its multirange.
    fn range(&mut self, random: &mut Random, name: String) {
        let bound = self.some(random, |bound| bound.ordered && !bound.name.contains('('));
        let multirange = format!("{name}_multi");
        self.setup.push(format!(
            "create type {name} as range (subtype = {}, multirange_type_name = {multirange})",
            bound.name
        ));
        let mut values = vec![format!("'empty'::{name}"), format!("{name}(null, null)")];
        for brackets in ["[)", "(]", "[]", "()"] {
            let [one, two] = [0, 1].map(|_| random.pick(&bound.values).clone());
            values.push(format!(
                "(select case when x <= y then {name}(x, y, '{brackets}') else {name}(y, x, '{brackets}') end from (select {one} x, {two} y) xy)"
            ));
        }
        let one = random.pick(&bound.values).clone();
        values.extend([format!("{name}({one}, null)"), format!("{name}(null, {one}, '[]')")]);
        let ranges = [0, 1, 2].map(|_| random.pick(&values).clone());
        let special = bound.special;
        let multi = Type {
            name: multirange.clone(),
            kind: self.kind(Kind::Multirange, special),
            values: vec![
                format!("'{{}}'::{multirange}"),
                format!("{multirange}({}, {})", ranges[0], ranges[1]),
                format!("{multirange}({}, {})", ranges[1], ranges[2]),
            ],
            ordered: true,
            special,
            array: false,
            delimiter: ',',
        };
        let kind = self.kind(Kind::Range, special);
        self.known.push(Type { name, kind, values, ..multi.clone() });
        self.known.push(multi);
    }

    fn kind(&self, kind: Kind, special: bool) -> Kind {
        if self.as_text && special { Kind::Text } else { kind }
    }
}

/// Not a type that is made of others.
fn is_flat(column: &Column) -> bool {
    let vector = ["int2vector", "oidvector"].contains(&column.sql_type);
    !vector && !matches!(column.kind, Kind::Array(..) | Kind::Composite(_))
}

fn leaf(column: &Column, as_text: bool) -> Type {
    let name = column.sql_type.to_owned();
    let special = SPECIAL.contains(&column.sql_type)
        || column.sql_type.contains("date")
        || column.sql_type.starts_with("ts") && column.sql_type.contains("range");
    let kind = if as_text && special { Kind::Text } else { column.kind };
    let handy = column.values.iter().filter(|value| is_handy(value));
    let mut values: Vec<String> = handy.map(|value| format!("({value})::{name}")).collect();
    if as_text && special {
        values.extend(beyond(column.sql_type).map(|value| format!("'{value}'::{name}")));
    }
    if name == "text" || name == "bytea" {
        let text = "(select string_agg(md5(n::text), '') from generate_series(1, 90) n)";
        values.push(if name == "text" { text.to_owned() } else { format!("convert_to({text}, 'UTF8')") });
    }
    let ordered = !UNORDERED.contains(&column.sql_type);
    Type { kind, values, ordered, special, array: false, delimiter: if name == "box" { ';' } else { ',' }, name }
}

/// Values that need the policy `text`.
fn beyond(sql_type: &str) -> impl Iterator<Item = &'static str> {
    let values: &[&str] = match sql_type {
        "numeric(12,2)" | "numeric(38,0)" | "price" => &["NaN"],
        "date" => &["infinity", "-infinity"],
        "time" => &["24:00"],
        "timestamp" | "timestamptz" => &["infinity", "-infinity", "294276-12-31 23:59:59.999999"],
        "daterange" => &["[2024-01-01,infinity)"],
        "tsrange" => &["[-infinity,infinity]"],
        _ => &[],
    };
    values.iter().copied()
}

fn leaked(kind: Kind) -> &'static Kind {
    Box::leak(Box::new(kind))
}

impl Type {
    /// A column of the type.
    pub(super) fn column(&self) -> &'static Column {
        let values: Vec<&'static str> = self.values.iter().map(|value| &*value.clone().leak()).collect();
        Box::leak(Box::new(Column {
            sql_type: self.name.clone().leak(),
            kind: self.kind,
            values: values.leak(),
            since: 14,
        }))
    }
}
