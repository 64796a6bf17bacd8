//! The columns of the tables under test: every type, with values at and beyond the edges.

/// How a value looks in JSON, and so how it is turned into a literal that the server reads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A string: exactly what the server prints.
    Text,
    /// A whole number or a boolean, as it is.
    Bare,
    /// A number, or the name of one that JSON does not have.
    Float,
    /// Nested as it is, except for line breaks between tokens.
    Json,
    /// Base64.
    Bytes,
    /// ISO 8601, with years beyond 0 to 9999 expanded.
    Date,
    /// The same with time, six digits of a second.
    Timestamp,
    /// The same with `Z`.
    Instant,
    /// A string that is another way to write the value: times with all digits, ISO 8601 intervals.
    Other,
    /// An array, with the delimiter of its literal.
    Array(&'static Kind, char),
    /// An object, in the order of the fields.
    Composite(&'static [Kind]),
    /// A string: the range as the server prints it.
    Range,
    Hstore,
    /// An array of strings, each a range as the server prints it.
    Multirange,
}

/// A column: its type, how its values look, and the values, as SQL.
pub(super) struct Column {
    pub(super) sql_type: &'static str,
    pub(super) kind: Kind,
    pub(super) values: &'static [&'static str],
    /// The first server version that has the type or the values.
    pub(super) since: u16,
}

const fn column(sql_type: &'static str, kind: Kind, values: &'static [&'static str]) -> Column {
    Column { sql_type, kind, values, since: 14 }
}

use Kind::{
    Array, Bare, Bytes, Composite, Date, Float, Hstore, Instant, Json, Multirange, Other, Range, Text, Timestamp,
};

pub(super) const SETUP: &str = "
    create extension citext; create extension hstore; create extension ltree; create extension cube;
    create type mood as enum ('sad', 'ok', 'it''s \"fine\", {really}');
    create domain positive as int check (value > 0); create domain price as numeric(8,2);
    create domain labels as text[]; create domain handle as citext;
    create type pair as (a int, b text);
    create type deep as (p pair, at date, n numeric(6,2), l int[], m mood, r int4range, b bytea, x positive);
    create domain couple as pair; create domain span as int4range;
    create type shelf as (\"of.pairs\" pair[], \"ré 🐢\" int4multirange, h hstore, j jsonb, iv interval, ts timestamptz, u uuid, s span, c couple);
    create type months as (months int, days int, micros int8);
    create type lower as (lower int, upper int, lower_inc bool, upper_inc bool, empty bool);
    create type floats as range (subtype = float8, multirange_type_name = many_floats);
    create type pairs as range (subtype = pair); create type spans as range (subtype = int4range, multirange_type_name = many_spans);
    create type multispans as range (subtype = int4multirange); create type lists as range (subtype = int4[]);
    create type crate as (boxes box[], note text); create type boxes as range (subtype = crate);
    create type maps as range (subtype = hstore); create type times as range (subtype = time);
    create type dated as range (subtype = daterange);
    create type words as range (subtype = text, collation = \"C\");
    create schema \"Odd schema\"; create type \"Odd schema\".\"Odd type\" as enum ('x');";

const ODD: &str = "$$ a'b\"c\\d,{e}(f)[g];h$$ || E'\\t\\r\\n\\x01\\x1f\\x7f\\u0085\\u2028'";

pub(super) const COUPLE: Kind = Composite(&[Bare, Text]);
const SHELF: Kind = Composite(&[Array(&COUPLE, ','), Multirange, Hstore, Json, Other, Instant, Text, Range, COUPLE]);

/// Values that every policy keeps as they are, of types whose binary form is read.
pub(super) const COLUMNS: &[Column] = &[
    column("bool", Bare, &["true", "false"]),
    column("int2", Bare, &["-32768", "32767", "0"]),
    column("int4", Bare, &["-2147483648", "2147483647", "0"]),
    column("int8", Bare, &["-9223372036854775808", "9223372036854775807", "9007199254740993"]),
    column("oid", Bare, &["0", "4294967295"]),
    column(
        "float4",
        Float,
        &["'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "1e-45", "3.4028235e38", "0.1", "16777216"],
    ),
    column(
        "float8",
        Float,
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "'-0'",
            "5e-324",
            "1.7976931348623157e308",
            "0.1",
            "1e15",
            "1e16",
            "-1e-7",
        ],
    ),
    column("numeric(12,2)", Text, &["0", "-0.01", "9999999999.99", "-9999999999.99", "10000"]),
    column("numeric(38,0)", Text, &["99999999999999999999999999999999999999", "-1", "0"]),
    column(
        "numeric(38,37)",
        Text,
        &["-9.9999999999999999999999999999999999999", "0.0000000000000000000000000000000000001"],
    ),
    column("numeric(50,10)", Text, &["1234567890123456789012345678901234567890.0123456789", "-0.0000000001"]),
    column(
        "numeric(76,20)",
        Text,
        &["-99999999999999999999999999999999999999999999999999999999.99999999999999999999", "0"],
    ),
    column("numeric(77,2)", Text, &["99999999999999999999.99", "'NaN'"]),
    column(
        "numeric",
        Text,
        &[
            "repeat('9', 1000)::numeric",
            "('-0.' || repeat('1', 1000))::numeric",
            "1e131071",
            "0",
            "0.000",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "1e300",
            "-1e-300",
            "123.456000",
            "10::numeric ^ 130000",
        ],
    ),
    Column { since: 15, ..column("numeric(5,-2)", Text, &["1234567", "-100"]) },
    Column { since: 15, ..column("numeric(2,5)", Text, &["0.00012", "-0.00099"]) },
    column(
        "text",
        Text,
        &[
            "(select string_agg(chr(c), '' order by c) from generate_series(1, 1114111, 97) c where c not between 55296 and 57343)",
            "(select string_agg(chr(p * 65536 + o), '') from generate_series(0, 16) p, unnest(array[65534, 65535, 64976, 65007, 57344]) o)",
            "(select string_agg(chr(c), '' order by c) from generate_series(1, 255) c)",
            "''",
            ODD,
            "'é ż 漢 🐢 𝔘 \u{10ffff}'",
            "'null'",
            "'\\N'",
            "repeat('long 🐢', 100000)",
            "'\u{feff}x'",
        ],
    ),
    column("varchar(10)", Text, &["''", "'ten chars.'", "'ends in   '"]),
    column("char(5)", Text, &["'ab'", "''", "'🐢'"]),
    column("name", Text, &["''", "'nm'", "repeat('x', 63)"]),
    column("\"char\"", Text, &["'a'", "''"]),
    column("citext", Text, &["''", "'CiT'"]),
    column(
        "xml",
        Text,
        &["''", "'<a/>'", "E'<?xml version=\"1.0\" standalone=\"yes\"?>\\n<a>ż &amp; 🐢</a>'", "'text only'"],
    ),
    column("ltree", Text, &["'a.b_1.C'", "''"]),
    column(
        "json",
        Json,
        &[
            "E'{\\n\"a\" : [1,  2.0],\\r\\n\\t\"a\": null, \"n\": 1e400, \"s\": \"\\\\n\\\\u00e9\"}'",
            "'\"ż\"'",
            "'null'",
            "'1.10'",
            "' [ ] '",
        ],
    ),
    column(
        "jsonb",
        Json,
        &[
            "'{\"b\": 1, \"a\": [1.10, null]}'",
            "'\"\\\"\\n\"'",
            "'null'",
            "'12345678901234567890.12345678901234567890'",
        ],
    ),
    column("jsonpath", Text, &["'$.a[*] ? (@ > 1)'"]),
    column("bytea", Bytes, &["E'\\\\\\\\x41'::bytea", "''", "'\\x00ff7f80'", "decode(repeat('00ab', 100000), 'hex')"]),
    column("uuid", Text, &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'00000000-0000-0000-0000-000000000000'"]),
    column(
        "date",
        Date,
        &[
            "'4714-11-24 BC'",
            "'2024-02-29'",
            "'0001-01-01'",
            "'0001-12-31 BC'",
            "'0002-01-01 BC'",
            "'4713-01-01 BC'",
            "'5874897-12-31'",
            "'9999-12-31'",
            "'10000-01-01'",
            "'1582-10-10'",
        ],
    ),
    column("time", Other, &["'00:00'", "'23:59:59.999999'", "'12:00:00.1'"]),
    column("time(3)", Other, &["'13:14:15.1239'"]),
    column("timetz", Text, &["'24:00:00+15:59:59'", "'24:00:00-12:30'", "'01:02:03.4+05:30:15'", "'00:00+00'"]),
    column(
        "timestamp",
        Timestamp,
        &[
            "'4714-11-24 00:00:00 BC'",
            "'294246-12-31 23:59:59.999999'",
            "'2024-02-29 13:14:15.123456'",
            "'1969-12-31 23:59:59.999999'",
            "'0044-03-15 12:00:00 BC'",
            "'294247-01-10 04:00:54.775807'",
            "'4713-01-01 00:00:00 BC'",
            "'9999-12-31 23:59:59.999999'",
        ],
    ),
    column("timestamp(0)", Timestamp, &["'2024-02-29 13:14:15.5'"]),
    column(
        "timestamptz",
        Instant,
        &[
            "'4714-11-24 00:00:00+00 BC'",
            "'294247-01-10 04:00:54.775807+00'",
            "'0001-01-01 00:00:00+00'",
            "'0001-12-31 23:59:59.999999+00 BC'",
            "'2024-02-29 13:14:15.5+05:30'",
            "'0044-03-15 12:00:00+00 BC'",
            "'12024-01-01 00:00:00-03'",
        ],
    ),
    column(
        "interval",
        Other,
        &[
            "'2147483647 months'",
            "'-2147483647 hours'",
            "'0'",
            "'1 year 2 mons 3 days 04:05:06.789'",
            "'-1 year +2 mons -3 days +04:05:06.789'",
            "'1 day -00:00:01'",
            "'1000 hours'",
            "'-178000000 years'",
            "'2147483647 days'",
            "'-0.000001 seconds'",
            "'1 mon -1 day +00:00:00.5'",
            "'-0.5 seconds'",
            "'-59:59.1'",
        ],
    ),
    Column {
        since: 15,
        ..column("interval", Other, &["'2562047788 hours 54.775807 seconds'", "'-2562047788 hours -54.775808 seconds'"])
    },
    column("interval year to month", Other, &["'1-2'"]),
    column(
        "inet",
        Text,
        &["'192.168.1.1'", "'192.168.1.1/24'", "'::1/64'", "'::ffff:1.2.3.4'", "'2001:db8::ff00:42:8329'"],
    ),
    column("cidr", Text, &["'10.0.0.0/8'", "'1.2.3.4/32'", "'::/0'"]),
    column("macaddr", Text, &["'08:00:2b:01:02:ff'"]),
    column("macaddr8", Text, &["'08:00:2b:01:02:03:04:05'"]),
    column("bit(1)", Text, &["B'1'"]),
    column("bit(10)", Text, &["B'1010010111'", "B'0000000000'"]),
    column("varbit", Text, &["B''", "B'10110'", "repeat('10', 500)::varbit"]),
    column("pg_lsn", Text, &["'0/0'", "'FFFFFFFF/FFFFFFFF'"]),
    column("xid", Text, &["'4294967295'"]),
    column("xid8", Text, &["'18446744073709551615'"]),
    column("tid", Text, &["'(4294967295,65535)'"]),
    column("int2vector", Text, &["'1 -2 3'", "''"]),
    column("oidvector", Text, &["'1 4294967295'"]),
    column("aclitem", Text, &["'=r/postgres'"]),
    column("pg_snapshot", Text, &["'10:20:10,14,15'"]),
    column("point", Text, &["'(1,-2.5)'", "'(Infinity,NaN)'", "'(1e16,1e-7)'", "'(-0,0.1)'"]),
    column("line", Text, &["'{1,2,3}'"]),
    column("lseg", Text, &["'[(0,0),(1,1)]'"]),
    column("box", Text, &["'((3,0),(1,5.5))'"]),
    column("path", Text, &["'((0,0),(1,1))'", "'[(0,0),(1,1),(2,0)]'"]),
    column("polygon", Text, &["'((0,0),(1,1),(2,0))'"]),
    column("circle", Text, &["'<(1.5,-1e20),0>'"]),
    column("tsvector", Text, &["''", "'fat:2 cat:3,5A rat:1B'", "$$'it''s' 'a\\\\b' 'sp ace':4C$$"]),
    column("tsquery", Text, &["''", "'!(a | b) & c:*AB <-> d'", "'a <2> (b <-> c)'"]),
    column("mood", Text, &["'sad'", "'it''s \"fine\", {really}'"]),
    column("\"Odd schema\".\"Odd type\"", Text, &["'x'"]),
    column("positive", Bare, &["5"]),
    column("price", Text, &["1.5", "-0.5"]),
    column("handle", Text, &["'Me'"]),
    column("labels", Array(&Text, ','), &["'{a,b}'", "'{}'"]),
    column("int[]", Array(&Bare, ','), &["'{}'", "'{1,NULL,3}'", "'{NULL}'", "array(select generate_series(1, 3000))"]),
    column("bool[]", Array(&Bare, ','), &["'{t,f,NULL}'"]),
    column(
        "text[]",
        Array(&Text, ','),
        &["'{a,NULL,\"NULL\",null,\"\",\"a b\"}'", "array[' a''b\"c\\d,{e}(f)[g];h', E'\\t\\n\\x01', 'ż🐢', '{', '}']"],
    ),
    column("numeric(10,2)[]", Array(&Text, ','), &["'{1.10,-2.20,NULL}'"]),
    column("float8[]", Array(&Float, ','), &["array['NaN', 'Infinity', '-0', 1e15, 1e-5, null]::float8[]"]),
    column("bytea[]", Array(&Bytes, ','), &["'{\"\\\\x01ff\",\"\\\\x\",NULL}'"]),
    column("uuid[]", Array(&Text, ','), &["'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,NULL}'"]),
    column("date[]", Array(&Date, ','), &["'{2024-01-01,0044-03-15 BC,5874897-12-31}'"]),
    column("timestamptz[]", Array(&Instant, ','), &["'{2024-01-01 00:00+00,NULL}'"]),
    column("interval[]", Array(&Other, ','), &["'{1 day,\"1 mon -1 day\"}'"]),
    column("mood[]", Array(&Text, ','), &["'{sad,\"it''s \\\"fine\\\", {really}\"}'"]),
    column("box[]", Array(&Text, ';'), &["'{(1,1),(0,0);(2,2),(1,1)}'"]),
    column(
        "pair[]",
        Array(&Composite(&[Bare, Text]), ','),
        &["array[(1, 'a b'), (null, ''), null, (2, '{\"x\",()}')]::pair[]"],
    ),
    column("hstore[]", Array(&Hstore, ','), &["array['a=>1, b=>NULL', '']::hstore[]"]),
    column("int4range[]", Array(&Text, ','), &["'{\"[1,5)\",empty,\"(,)\",NULL}'"]),
    column("labels[]", Array(&Array(&Text, ','), ','), &["array['{a,NULL}'::labels, '{}'::labels]"]),
    column(
        "pair",
        Composite(&[Bare, Text]),
        &["row(1, 'x')", "row(null, null)", "row(-1, '')", "row(2, ' a''b\"c\\d,{e}(f)[g];h' || E'\\n')"],
    ),
    column(
        "deep",
        Composite(&[Composite(&[Bare, Text]), Date, Text, Array(&Bare, ','), Text, Text, Bytes, Bare]),
        &[
            "row(row(1, 'a \"b\"'), '2024-01-01', 1.5, '{1,NULL}', 'ok', '[1,5)', '\\x00ff', 3)",
            "row(null, null, null, '{}', null, 'empty', '', null)",
        ],
    ),
    column("couple", COUPLE, &["row(1, 'x y')", "row(null, '')"]),
    column("span", Range, &["'[1,5)'"]),
    column(
        "shelf",
        SHELF,
        &[
            "row(array[(1, 'a b'), null]::pair[], '{[1,5),[7,9)}', 'a=>\"{x}\"', '{\"a\": [1, \"q\\\"\"]}', '-1 day 3:00', '2024-01-01 00:00+02', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'empty', row(2, 'c'))",
            "row(null, '{}', '', '[]', '0', '0044-03-15 BC', null, '(,)', null)",
        ],
    ),
    column(
        "shelf[]",
        Array(&SHELF, ','),
        &["array[row('{}', null, null, null, null, null, null, null, row(null, '\"'))]::shelf[]"],
    ),
    column("months", Composite(&[Bare, Bare, Bare]), &["row(1, 2, 3)", "row(null, null, null)"]),
    column("lower", Composite(&[Bare, Bare, Bare, Bare, Bare]), &["row(1, null, true, false, null)"]),
    column(
        "hstore",
        Hstore,
        &[
            "'\"\"=>NULL, \"NULL\"=>\"null\"'",
            "hstore(array[E'\\t\\n', '🐢', '\"', E'\\\\'], array[null, '=>', ',', ''])",
            "''",
            "'a=>1, b=>NULL'",
            "hstore(' a''b\"c\\d,{e}', 'NULL')",
            "hstore('', '')",
        ],
    ),
    column("int4range", Range, &["'[1,5]'", "'empty'", "'(,5)'", "'[1,)'", "'(,)'"]),
    column(
        "int8range",
        Range,
        &["'empty'", "'(,)'", "'(5,)'", "'(,-9223372036854775807)'", "'[-9223372036854775808,9223372036854775806]'"],
    ),
    column("numrange", Range, &["'empty'", "'(,)'", "'(1.0,1.00]'", "'[,1.50)'", "'[1.50,2.5]'", "'(-Infinity,NaN]'"]),
    column(
        "daterange",
        Range,
        &[
            "'empty'",
            "'(,)'",
            "'[5874897-12-30,5874897-12-31)'",
            "'[4714-11-24 BC,)'",
            "'[2024-01-01,2024-01-05]'",
            "'(,0044-03-15 BC]'",
        ],
    ),
    column(
        "tsrange",
        Range,
        &["'empty'", "'(,)'", "'(,4714-11-24 00:00 BC]'", "'[2024-01-01 00:00,2024-01-02 12:00:00.5)'"],
    ),
    column(
        "tstzrange",
        Range,
        &["'empty'", "'(\"2024-01-01 00:00+00\",)'", "'[\"2024-01-01 00:00+02\",\"2024-01-02 00:00-03\")'", "'[,]'"],
    ),
    column(
        "words",
        Range,
        &[
            "'empty'",
            "'(,)'",
            "words('NULL', 'null')",
            "words('empty', 'x')",
            "words('a,b', 'c \"d\"', '[]')",
            "words('', '(', '()')",
            "words('x', null)",
            "words('[', E'\\\\')",
        ],
    ),
    column(
        "floats",
        Range,
        &["'empty'", "'(,)'", "floats('-Infinity', null)", "'[-0.5,1e300)'", "'[1e-7,1e15)'", "'[-Infinity,Infinity]'"],
    ),
    column("int8multirange", Multirange, &["'{}'", "'{[-9223372036854775808,5),[7,)}'"]),
    column("nummultirange", Multirange, &["'{}'", "'{[1.50,2.5],(3,)}'"]),
    column("datemultirange", Multirange, &["'{}'", "'{(,0044-03-15 BC),[2024-01-01,2024-01-02)}'"]),
    column("tsmultirange", Multirange, &["'{}'", "'{[2024-01-01 00:00,2024-01-02 00:00:00.5]}'"]),
    column("int4multirange[]", Array(&Multirange, ','), &["array['{}', '{[1,2),[5,7)}', null]::int4multirange[]"]),
    column("pairs", Range, &["pairs(row(1, 'a'), row(2, ' b,\"'))", "pairs(null, row(null, ''))", "'empty'"]),
    column("spans", Range, &["spans('[1,2)', '[3,5)', '[]')", "spans('(,)', null)", "spans('empty', '[7,8)')"]),
    column("many_spans", Multirange, &["many_spans(spans('[1,2)', '[3,5)'), spans('[7,)', null))"]),
    column("multispans", Range, &["multispans('{[1,2),[5,7)}', '{[9,10)}')", "multispans('{}', null)"]),
    column("lists", Range, &["lists('{1,NULL}', '{2}')", "lists('{}', null, '()')"]),
    column("boxes", Range, &["boxes(row('{(1,1),(0,0);(2,2),(1,1)}', 'x'), null)"]),
    column("maps", Range, &["maps('a=>1, b=>NULL', null)"]),
    column("int4multirange", Multirange, &["'{(,)}'", "'{empty}'", "'{}'", "'{[1,2),[5,7)}'", "'{(,1),[3,)}'"]),
    column(
        "tstzmultirange",
        Multirange,
        &["'{}'", "'{(,2024-01-01 00:00+00),[2025-01-01 00:00+00,)}'", "'{[2024-01-01 00:00+00,2024-01-02 00:00+00)}'"],
    ),
    column("many_floats", Multirange, &["'{}'", "'{(,)}'", "'{[1,2)}'"]),
];

/// Types that the server sends in a binary form that is not read here, so that a flow with one of them asks for text.
pub(super) const OPAQUE: &[Column] = &[
    column("money", Text, &["-1234567.89", "9.99", "0"]),
    column("regclass", Text, &["'pg_class'", "'0'"]),
    column("regtype", Text, &["'int4'", "'\"Odd schema\".\"Odd type\"'"]),
    column("cube", Text, &["'(1,2),(3,4)'"]),
    column("money[]", Array(&Text, ','), &["'{\"$1,234.50\",NULL}'"]),
];
