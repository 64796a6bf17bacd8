//! Values that the Arrow type of their column cannot hold, and what each policy makes of them.

use super::columns::Kind::{
    Array, Bare, Bytes, Composite, Date, Float, Instant, Multirange, Other, Range, Text, Timestamp,
};
use super::columns::{COUPLE, Column, Kind};

/// A type with values that only some policies keep.
pub(super) struct Special {
    sql_type: &'static str,
    kind: Kind,
    /// Each with what the policy `null` makes of it; empty when it keeps it.
    values: &'static [(&'static str, &'static str)],
    since: u16,
}

const fn special(sql_type: &'static str, kind: Kind, values: &'static [(&'static str, &'static str)]) -> Special {
    Special { sql_type, kind, values, since: 14 }
}

const KEPT: &str = "";
const NULL: &str = "null";

const DEEP: Kind = Composite(&[COUPLE, Date, Text, Array(&Bare, ','), Text, Text, Bytes, Bare]);

const SPECIAL: &[Special] = &[
    special("numeric(12,2)", Text, &[("'NaN'", NULL), ("12.30", KEPT)]),
    special("numeric(50,10)", Text, &[("'NaN'", NULL), ("1", KEPT)]),
    special("numeric", Text, &[("'NaN'", KEPT), ("'-Infinity'", KEPT)]),
    special("price", Text, &[("'NaN'", NULL), ("1.5", KEPT)]),
    special("float8", Float, &[("'NaN'", KEPT), ("'-Infinity'", KEPT)]),
    special(
        "date",
        Date,
        &[
            ("'infinity'", NULL),
            ("'-infinity'", NULL),
            ("'2024-02-29'", KEPT),
            ("'0044-03-15 BC'", KEPT),
            ("'4714-11-24 BC'", KEPT),
            ("'5874897-12-31'", KEPT),
        ],
    ),
    special("time", Other, &[("'24:00'", NULL), ("'12:00'", KEPT), ("'23:59:59.999999'", KEPT)]),
    special("timetz", Text, &[("'24:00+00'", KEPT)]),
    special(
        "timestamp",
        Timestamp,
        &[
            ("'infinity'", NULL),
            ("'-infinity'", NULL),
            ("'294276-12-31 23:59:59.999999'", NULL),
            ("'294247-01-10 04:00:54.775808'", NULL),
            ("'294247-01-10 04:00:54.775807'", KEPT),
            ("'4714-11-24 00:00 BC'", KEPT),
            ("'2024-02-29 13:14:15.1'", KEPT),
        ],
    ),
    special(
        "timestamptz",
        Instant,
        &[
            ("'infinity'", NULL),
            ("'-infinity'", NULL),
            ("'294276-12-31 23:59:59.999999+00'", NULL),
            ("'294247-01-10 04:00:54.775808+00'", NULL),
            ("'4714-11-24 00:00+00 BC'", KEPT),
            ("'2024-02-29 13:14:15.1+02'", KEPT),
        ],
    ),
    Special {
        since: 17,
        ..special("interval", Other, &[("'infinity'", NULL), ("'-infinity'", NULL), ("'1 day'", KEPT)])
    },
    special(
        "int[]",
        Array(&Bare, ','),
        &[
            ("'{{1,2},{3,NULL}}'", NULL),
            ("'[0:1]={1,2}'", NULL),
            ("'[2:2][-1:0]={{5,NULL}}'", NULL),
            ("'[-2147483648:-2147483647]={1,2}'", NULL),
            ("'{{{{{{1}}}}}}'", NULL),
            ("'{1,NULL}'", KEPT),
            ("'{}'", KEPT),
        ],
    ),
    special("int[][]", Array(&Bare, ','), &[("'{{1},{2}}'", NULL), ("'{1}'", KEPT)]),
    special(
        "text[]",
        Array(&Text, ','),
        &[("'{{\"a b\",\"NULL\"},{NULL,\"\"}}'", NULL), ("'[3:4]={\"[\",\"=\"}'", NULL), ("'{\"\",NULL}'", KEPT)],
    ),
    special("numeric(10,2)[]", Array(&Text, ','), &[("'{NaN,1.10}'", "'{NULL,1.10}'"), ("'{{1}}'", NULL)]),
    special("box[]", Array(&Text, ';'), &[("'{{(1,1),(0,0);(2,2),(1,1)}}'", NULL), ("'{(1,1),(0,0)}'", KEPT)]),
    special("time[]", Array(&Other, ','), &[("'{24:00,00:00,NULL}'", "'{NULL,00:00,NULL}'")]),
    special(
        "timestamptz[]",
        Array(&Instant, ','),
        &[("'{infinity,2024-01-01 00:00+00}'", "'{NULL,2024-01-01 00:00+00}'")],
    ),
    special("labels", Array(&Text, ','), &[("'{{a},{b}}'", NULL), ("'{a}'", KEPT)]),
    special(
        "labels[]",
        Array(&Array(&Text, ','), ','),
        &[("array['{{a}}', '{b}', '[0:0]={c}']::labels[]", "array[null, '{b}', null]::labels[]")],
    ),
    special(
        "daterange",
        Range,
        &[
            ("'[2024-01-01,infinity)'", NULL),
            ("'[-infinity,2024-01-01)'", NULL),
            ("'[2024-01-01,2024-01-02]'", KEPT),
            ("'[2024-01-01,)'", KEPT),
            ("'empty'", KEPT),
        ],
    ),
    special("tsrange", Range, &[("'[-infinity,2024-01-02)'", NULL), ("'(,2024-01-02)'", KEPT)]),
    special("tstzrange", Range, &[("'[2024-01-02 00:00+00,infinity]'", NULL), ("'(,)'", KEPT)]),
    special("times", Range, &[("times('10:00', '24:00')", NULL), ("times('10:00', '11:00')", KEPT)]),
    special("lists", Range, &[("lists('{{1}}', null)", NULL), ("lists('{1}', '{2}')", KEPT)]),
    special("dated", Range, &[("dated('[2024-01-01,infinity)', null)", NULL), ("dated('empty', '(,)')", KEPT)]),
    special(
        "datemultirange",
        Multirange,
        &[
            ("'{[2024-01-01,2024-01-02),[2025-01-01,infinity)}'", NULL),
            ("'{[2024-01-01,2024-01-02),[2025-01-01,)}'", KEPT),
            ("'{}'", KEPT),
        ],
    ),
    special("daterange[]", Array(&Range, ','), &[("'{\"[2024-01-01,infinity)\",empty}'", "'{NULL,empty}'")]),
    special(
        "deep",
        DEEP,
        &[
            (
                "row(row(1, 'a \"b\"'), 'infinity', 'NaN', '{{1},{NULL}}', 'ok', '[1,5)', '\\x00ff', 3)",
                "row(row(1, 'a \"b\"'), null, null, null, 'ok', '[1,5)', '\\x00ff', 3)",
            ),
            ("row(null, null, null, null, null, null, null, null)", KEPT),
        ],
    ),
    special(
        "deep[]",
        Array(&DEEP, ','),
        &[(
            "array[row(null, '-infinity', 1, '[0:0]={1}', null, null, null, 1), null]::deep[]",
            "array[row(null, null, 1, null, null, null, null, 1), null]::deep[]",
        )],
    ),
];

/// The columns of special values: as the policy `text` delivers them, or as `null` does.
pub(super) fn special_columns(as_text: bool) -> &'static [Column] {
    let column = |special: &Special| Column {
        sql_type: special.sql_type,
        kind: if as_text && special.has_any() { Text } else { special.kind },
        values: special.values.iter().map(|(value, _)| *value).collect::<Vec<_>>().leak(),
        since: special.since,
    };
    SPECIAL.iter().map(column).collect::<Vec<_>>().leak()
}

/// Column, row and SQL of what the policy `null` puts in the place of a value.
pub(super) fn nulled(version: u16) -> impl Iterator<Item = (usize, usize, &'static str)> {
    let known = SPECIAL.iter().enumerate().filter(move |(_, special)| special.since <= version);
    known.flat_map(|(column, special)| {
        let instead = special.values.iter().enumerate().filter(|(_, (_, instead))| *instead != KEPT);
        instead.map(move |(row, (_, instead))| (column, row, *instead))
    })
}

impl Special {
    fn has_any(&self) -> bool {
        self.values.iter().any(|(_, instead)| *instead != KEPT)
    }
}
