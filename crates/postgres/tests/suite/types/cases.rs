//! Types, values at and beyond their edges, and what to ask the server about each.

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
const NUMBER: &str = "v::text";
const FLOAT4: &str = "encode(float4send(v), 'hex')";
const FLOAT8: &str = "encode(float8send(v), 'hex')";
const HEX: &str = "encode(v, 'hex')";
const DATE: &str = "CASE WHEN isfinite(v) THEN (v - DATE '1970-01-01')::text END";
const TIME: &str = "(extract(epoch FROM v) * 1000000)::int8::text";
/// Intervals have no exact number of seconds before PostgreSQL 14 and none of a BC timestamp at all, hence the detour over days.
const TIMESTAMP: &str = "CASE WHEN isfinite(v) THEN ((v::date - DATE '1970-01-01')::numeric * 86400000000 \
    + (extract(epoch FROM v::time) * 1000000)::int8)::text END";
const TIMESTAMPTZ: &str = "CASE WHEN isfinite(v) THEN (((v AT TIME ZONE 'UTC')::date - DATE '1970-01-01')::numeric * 86400000000 \
    + (extract(epoch FROM (v AT TIME ZONE 'UTC')::time) * 1000000)::int8)::text END";
const INTERVAL: &str = "CASE WHEN v::text !~ 'infinity' THEN (extract(year FROM v) * 12 + extract(month FROM v))::int || '|' || extract(day FROM v) || '|' || \
    (extract(hour FROM v) * 3600000000::numeric + extract(minute FROM v) * 60000000 + extract(microseconds FROM v))::int8 END";

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

const SPACES: &str = "$$ a'b\"c\\d,{e}(f)[g];h\t\n $$";

pub(super) const CASES: &[Case] = &[
    Case::new("boolean", &["true", "false"], NUMBER),
    Case::new("smallint", &["-32768", "0", "32767"], NUMBER),
    Case::new("integer", &["-2147483648", "0", "2147483647"], NUMBER),
    Case::new("bigint", &["-9223372036854775808", "0", "9223372036854775807"], NUMBER),
    Case::new("oid", &["0", "4294967295"], NUMBER),
    Case::new("real", &["'NaN'", "'-Infinity'", "'-0'", "1e-45", "3.4028235e38", "0.1", "(random() * 10 ^ n)::real FROM generate_series(-30, 30) n"], FLOAT4),
    Case::new("double precision", &["'NaN'", "'Infinity'", "'-0'", "5e-324", "1.7976931348623157e308", "0.1", "random() * 10 ^ n FROM generate_series(-300, 300) n"], FLOAT8),
    Case::new("numeric(12,2)", &["0", "-0.01", "1.1", "9999999999.99", "-9999999999.99", "10000", "'NaN'"], "CASE WHEN v <> 'NaN' THEN (v * 100)::numeric(80,0)::text END").special(),
    Case::new("numeric(38,0)", &["99999999999999999999999999999999999999", "-1", "10000000000000000"], "v::text").special(),
    Case::new("numeric(38,37)", &["9.9999999999999999999999999999999999999", "-0.0000000000000000000000000000000000001", "1"], "(v * 10::numeric ^ 37)::numeric(80,0)::text").special(),
    Case::new("numeric(76,20)", &["99999999999999999999999999999999999999999999999999999999.99999999999999999999", "-0.00000000000000000001", "'NaN'"], "CASE WHEN v <> 'NaN' THEN (v * 100000000000000000000)::numeric(80,0)::text END").special(),
    Case::new("numeric(10,4)", &["(random() * 10 ^ (n % 6))::numeric * (CASE WHEN n % 2 = 0 THEN 1 ELSE -1 END) FROM generate_series(1, 500) n"], "(v * 10000)::numeric(80,0)::text").special(),
    Case::new("numeric(2,5)", &["0.00012", "-0.00099"], "(v * 100000)::numeric(80,0)::text").special().since(15),
    Case::printed("numeric(5,-2)", &["1234567", "-100"]).since(15),
    Case::printed("numeric(1000,3)", &["10::numeric ^ 200", "-0.001", "'NaN'"]),
    Case::printed("numeric", &["0", "0.000", "-0.00010", "1e300", "1e-300", "123456789.123400", "10000", "100000000.00000001", "'NaN'", "'Infinity'", "'-Infinity'", "(random() * 10 ^ n)::numeric(60,25) FROM generate_series(-20, 20) n"]),
    Case::printed("money", &["12.34", "'-1234567.89'"]).read(Read::TextOnly),
    Case::printed("text", &["''", "'x'", "'żółw 🐢'", SPACES, "repeat('long', 10000)"]),
    Case::printed("varchar(10)", &["''", "'ten chars.'"]),
    Case::printed("char(5)", &["'ab'", "''"]),
    Case::printed("bpchar", &["'ab  '"]),
    Case::printed("name", &["'nm'", "repeat('x', 63)"]),
    Case::printed("\"char\"", &["'a'", "''"]),
    Case::printed("citext", &["'CiT'", "''"]),
    Case::printed("xml", &["'<a/>'", "'<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><a>ż</a>'"]),
    Case::printed("ltree", &["'a.b_1.C'", "''"]),
    Case::printed("lquery", &["'*.a@|b*{1,2}'"]),
    Case::printed("ltxtquery", &["'a & !b*@'"]),
    Case::printed("mood", &["'sad'", "'it''s \"fine\"'"]),
    Case::printed("app.\"Odd name\"", &["'x'"]),
    Case::printed("json", &["'{\"a\" : [1,  2.0], \"a\": null}'", "'\"ż\"'"]),
    Case::printed("jsonb", &["'{\"b\": 1, \"a\": [1.10, null]}'", "'\"\\u017c\"'"]),
    Case::printed("jsonpath", &["'$.a[*] ? (@ > 1)'"]),
    Case::new("bytea", &["''", "'\\x00ff7f80'", "decode(repeat('ab', 5000), 'hex')"], HEX),
    Case::new("uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'00000000-0000-0000-0000-000000000000'"], "replace(v::text, '-', '')"),
    Case::new("date", &["'2024-02-29'", "'0001-01-01'", "'0001-12-31 BC'", "'4713-01-01 BC'", "'5874897-12-31'", "'10000-01-01'", "'infinity'", "'-infinity'", "DATE '1900-01-01' + n * 37 FROM generate_series(1, 2000) n"], DATE).special(),
    Case::new("time", &["'00:00'", "'23:59:59.999999'", "'12:00:00.1'", "'24:00'"], TIME).special(),
    Case::new("time(3)", &["'13:14:15.1234'"], TIME).special(),
    Case::printed("timetz", &["'00:00+00'", "'24:00:00-12:30'", "'01:02:03.4+05:30:15'", "'01:02:03-03:15'"]),
    Case::printed("timetz(2)", &["'01:02:03.456+02'"]),
    Case::new("timestamp", &["'2024-02-29 13:14:15.123456'", "'1969-12-31 23:59:59.999999'", "'0044-03-15 12:00:00 BC'", "'294276-12-31 23:59:59.999999'", "'294247-01-10 04:00:54.775807'", "'4713-01-01 00:00:00 BC'", "'infinity'", "'-infinity'", "TIMESTAMP '1800-01-01' + n * INTERVAL '40 days 1:02:03.000004' FROM generate_series(1, 2000) n"], TIMESTAMP).special(),
    Case::new("timestamp(3)", &["'2024-02-29 13:14:15.123456'"], TIMESTAMP).special(),
    Case::new("timestamptz", &["'2024-02-29 13:14:15.5+05:30'", "'0044-03-15 12:00:00+00 BC'", "'infinity'", "'12024-01-01 00:00:00-03'"], TIMESTAMPTZ).special(),
    Case::new("timestamptz(0)", &["'2024-02-29 13:14:15.5+05:30'"], TIMESTAMPTZ).special(),
    Case::new("interval", &["'0'", "'1 year 2 mons 3 days 04:05:06.789'", "'-1 year +2 mons -3 days +04:05:06.789'", "'-14 mons'", "'1 day -00:00:01'", "'1000 hours'", "'-178000000 years'", "'2147483647 days'", "'-0.000001 seconds'"], INTERVAL).special(),
    Case::new("interval", &["'infinity'", "'-infinity'"], INTERVAL).special().since(17),
    Case::new("interval day to second(3)", &["'1 day 2:03:04.5678'"], INTERVAL).special(),
    Case::new("interval year to month", &["'1-2'"], INTERVAL).special(),
    Case::printed("inet", &["'192.168.1.1'", "'192.168.1.1/24'", "'::'", "'::1/64'", "'2001:db8::ff00:42:8329'", "'::ffff:1.2.3.4'", "'::1.2.3.4/96'", "'1:0:0:2:0:0:0:3'", "'fe80::1:0:0:1'", "'::2:3:4:5:6:7:8'", "'1::'"]),
    Case::printed("cidr", &["'10.0.0.0/8'", "'1.2.3.4/32'", "'2001:db8::/32'", "'::/0'", "'::1/128'"]),
    Case::printed("macaddr", &["'08:00:2b:01:02:ff'"]),
    Case::printed("macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    Case::printed("bit(1)", &["B'1'"]),
    Case::printed("bit(10)", &["B'1010010111'", "B'0000000000'"]),
    Case::printed("varbit", &["B''", "B'10110'", "repeat('10', 500)::varbit"]),
    Case::printed("varbit(16)", &["B'11111111'"]),
    Case::printed("\"bit\"", &["B'101'"]),
    Case::printed("pg_lsn", &["'0/0'", "'16/B374D848'", "'FFFFFFFF/FFFFFFFF'"]),
    Case::printed("point", &["'(1,-2.5)'", "'(1e16,1e-7)'", "'(Infinity,NaN)'", "'(-0,123456789012345)'", "point(random() * 10 ^ n, random() / 10 ^ n) FROM generate_series(1, 40) n"]),
    Case::printed("box", &["'((0,0),(1,1))'", "'((3,0),(1,5.5))'"]),
    Case::printed("line", &["'{1,2,3}'", "'[(0,0),(3,1)]'"]),
    Case::printed("lseg", &["'[(0,0),(1,1)]'"]),
    Case::printed("path", &["'((0,0),(1,1))'", "'[(0,0),(1,1),(2,0)]'"]),
    Case::printed("polygon", &["'((0,0),(1,1),(2,0))'", "'((1.5,2))'"]),
    Case::printed("circle", &["'<(0,0),5>'", "'<(1.5,-1e20),0>'"]),
    Case::printed("tsvector", &["''", "'fat:2 cat:3,5A rat:1B'", "to_tsvector('english', 'The quick brown foxes')", "$$'it''s' 'a\\b' 'sp ace':4C$$"]),
    Case::printed("tsquery", &["''", "'fat & cat'", "'!(a | b) & c:*AB <-> d'", "'a <2> (b <-> c)'", "'(a <-> b) <-> c'", "'!!a | (b & (c | d))'", "$$'it''s\\\\x':D & !( a <-> !b )$$"]),
    Case::printed("xid", &["'4294967295'"]),
    Case::printed("xid8", &["'18446744073709551615'"]),
    Case::printed("cid", &["'7'"]),
    Case::printed("tid", &["'(4294967295,65535)'"]),
    Case::printed("pg_snapshot", &["'10:20:10,14,15'", "'10:10:'"]),
    Case::printed("txid_snapshot", &["'10:20:10,14,15'"]),
    Case::printed("int2vector", &["'1 -2 3'", "''"]),
    Case::printed("oidvector", &["'1 4294967295'"]),
    Case::printed("refcursor", &["'c'"]),
    Case::printed("regclass", &["'pg_class'"]).read(Read::TextOnly),
    Case::printed("regtype", &["'integer'"]).read(Read::TextOnly),
    Case::printed("aclitem", &["'=r/postgres'"]).read(Read::NeverBinary),
    Case::printed("cube", &["'(1,2),(3,4)'"]).read(Read::TextOnly),
    Case::printed("nothing", &["'()'"]).read(Read::TextOnly),
    Case::new("integer[]", &["'{}'", "'{1,NULL,3}'", "'{-2147483648}'", "array_agg(n) FROM generate_series(1, 1000) n", "'{{1,2},{3,4}}'", "'[0:1]={1,2}'", "'[2:2][-1:0]={{5,NULL}}'", "'{{{1}}}'"], LIST).special(),
    Case::new("text[]", &["'{}'", "'{a,NULL,\"NULL\",null,\"\",\"a b\"}'", "ARRAY[$$ a'b\"c\\d,{e}(f)[g];h\t\n $$, 'ż', '{', '}']"], LIST).special(),
    Case::new("bpchar[]", &["'{a,\" b \"}'"], "'a| b '").special(),
    Case::new("numeric(10,2)[]", &["'{1.10,-2.20,NULL}'", "'{NaN}'"], "CASE WHEN v::text !~ 'NaN' THEN (SELECT string_agg(coalesce(trunc(e * 100)::text, '~'), '|' ORDER BY i) FROM unnest(v) WITH ORDINALITY u(e, i)) END").special(),
    Case::new("float8[]", &["array_agg(random() * 10::float8 ^ (n / 10)) FROM generate_series(-3000, 3000) n", "ARRAY['NaN', 'Infinity', '-0', 1e15, 1e14, 1e-4, 1e-5]::float8[]", "array_agg(n::float8) FROM generate_series(-1000, 1000, 7) n", "array_agg((2::float8) ^ n) FROM generate_series(-1074, 1023) n", "array_agg(trunc(random() * 1e16) * 8) FROM generate_series(1, 5000) n"], "array_to_string(ARRAY(SELECT encode(float8send(e), 'hex') FROM unnest(v) WITH ORDINALITY u(e, i) ORDER BY i), '|')").special(),
    Case::new("float4[]", &["array_agg((random() * 10 ^ (n / 10))::float4) FROM generate_series(-300, 300) n", "array_agg(trunc(random() * 1e8)::float4) FROM generate_series(1, 5000) n", "'{1e6,999999,1e-4,1e-5}'"], "array_to_string(ARRAY(SELECT encode(float4send(e), 'hex') FROM unnest(v) WITH ORDINALITY u(e, i) ORDER BY i), '|')").special(),
    Case::new("boolean[]", &["'{t,f,NULL}'"], "'true|false|~'").special(),
    Case::new("bytea[]", &["'{\"\\\\x01\",\"\\\\x\"}'"], "array_to_string(ARRAY(SELECT encode(e, 'hex') FROM unnest(v) WITH ORDINALITY u(e, i) ORDER BY i), '|')").special(),
    Case::new("uuid[]", &["'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'"], "replace(array_to_string(v, '|'), '-', '')").special(),
    Case::new("timestamptz[]", &["'{2024-01-01 00:00+00,NULL}'", "'{infinity}'"], "CASE WHEN v[1] <> 'infinity' THEN (extract(epoch FROM v[1]) * 1000000)::int8 || '|~' END").special(),
    Case::new("interval[]", &["'{1 day,\"1 mon -1 day\"}'"], "'0|1|0|1|-1|0'").special(),
    Case::new("mood[]", &["'{sad,\"so so\",\"it''s \\\"fine\\\"\"}'"], LIST).special(),
    Case::new("box[]", &["'{(1,1),(0,0);(2,2),(1,1)}'"], LIST).special(),
    Case::new("pair[]", &["ARRAY[(1, 'a b'), (NULL, ''), NULL]::pair[]"], "'1|a b|~||~'").special(),
    Case::new("jsonb[]", &["ARRAY['{\"a\": \"b,c\"}', '[]']::jsonb[]"], LIST).special(),
    Case::new("hstore[]", &["ARRAY['a=>1', '']::hstore[]"], "'a|1|'").special(),
    Case::new("labels", &["'{a,b}'", "'{{a},{b}}'"], "CASE WHEN array_ndims(v) = 1 THEN array_to_string(v, '|', '~') END").special(),
    Case::new("int4range[]", &["'{\"[1,5)\",empty}'"], "'1|5|true|false|false|~|~|false|false|true'").special(),
    Case::new("int4range", &["'[1,5]'", "'empty'", "'(,5)'", "'[1,)'", "'(,)'"], RANGE),
    Case::new("int8range", &["'[-9223372036854775808,9223372036854775806]'"], RANGE),
    Case::new("numrange", &["'[1.50,2.5]'", "'(-Infinity,NaN]'"], RANGE),
    Case::new("words", &["words('a,b', 'c \"d\"', '[]')", "words('', '(', '()')", "words('x', NULL)", "words('[', E'\\\\')"], RANGE),
    Case::new("floats", &["'[-0.5,1e300)'"], "encode(float8send(lower(v)), 'hex') || '|' || encode(float8send(upper(v)), 'hex') || '|true|false|false'"),
    Case::new("daterange", &["'[2024-01-01,2024-01-05]'", "'(,2024-01-01)'", "'[2024-01-01,infinity]'"], "CASE WHEN upper(v) <> 'infinity' THEN concat_ws('|', coalesce((lower(v) - DATE '1970-01-01')::text, '~'), (upper(v) - DATE '1970-01-01')::text, lower_inc(v)::text, upper_inc(v)::text, isempty(v)::text) END").special(),
    Case::new("tsrange", &["'[2024-01-01 00:00,2024-01-02 12:00:00.5)'", "'[-infinity,2024-01-02)'"], "CASE WHEN lower(v) <> '-infinity' THEN concat_ws('|', (extract(epoch FROM lower(v)) * 1000000)::int8, (extract(epoch FROM upper(v)) * 1000000)::int8, lower_inc(v)::text, upper_inc(v)::text, isempty(v)::text) END").special(),
    Case::new("tstzrange", &["'[\"2024-01-01 00:00+02\",\"2024-01-02 00:00-03\")'"], "concat_ws('|', (extract(epoch FROM lower(v)) * 1000000)::int8, (extract(epoch FROM upper(v)) * 1000000)::int8, lower_inc(v)::text, upper_inc(v)::text, isempty(v)::text)").special(),
    Case::new("int4multirange", &["'{}'", "'{[1,2),[5,7)}'", "'{(,1),[3,)}'"], MULTIRANGE),
    Case::new("nummultirange", &["'{[1.5,2.50],(3,4)}'"], MULTIRANGE),
    Case::new("many_floats", &["'{[1,2)}'"], "'3ff0000000000000|4000000000000000|true|false|false'"),
    Case::new("datemultirange", &["'{[2024-01-01,2024-01-02)}'", "'{[2024-01-01,2024-01-02),[2024-01-05,infinity)}'"], "'19723|19724|true|false|false'").special(),
    Case::new("tstzmultirange", &["'{[2024-01-01 00:00+00,2024-01-02 00:00+00)}'"], "'1704067200000000|1704153600000000|true|false|false'").special(),
    Case::new("positive", &["5"], NUMBER),
    Case::new("price", &["1.5", "'NaN'"], "CASE WHEN v <> 'NaN' THEN (v * 100)::numeric(80,0)::text END").special(),
    Case::new("pair", &["ROW(1, 'x')::pair", "ROW(NULL, NULL)::pair", "ROW(-1, '')::pair", "ROW(2, $$ a'b\"c\\d,{e}(f)[g];h\t\n $$)::pair"], "concat_ws('|', coalesce((v::pair).a::text, '~'), coalesce((v::pair).b, '~'))"),
    Case::new("texts", &["ROW('null', 'NULL')::texts", "ROW('(', E'\\\\\"')::texts"], "concat_ws('|', (v::texts).a, (v::texts).\"the b\")"),
    Case::new("nested", &["ROW(ROW(1, 'a \"b\"'), '2024-01-01', 1.5, '{1,NULL}', 'so so')::nested", "ROW(NULL, NULL, NULL, '{}', NULL)::nested", "ROW(ROW(1, 'x'), 'infinity', 1, '{}', 'ok')::nested"], "CASE WHEN (v).at = '2024-01-01' THEN '1|a \"b\"|19723|150|1|~|so so' ELSE '~|~|~||~' END").special(),
    Case::new("hstore", &["''", "'a=>1, b=>NULL'", "hstore($$ a'b\"c\\d,{e}(f)[g];h\t\n $$, 'NULL')", "hstore('', '')", "hstore('k=>v, x', '\"')"], "array_to_string(ARRAY(SELECT unnest(ARRAY[key, coalesce(value, '~')]) FROM each(v)), '|')"),
];

const LIST: &str = "CASE WHEN coalesce(array_ndims(v), 1) = 1 AND coalesce(array_lower(v, 1), 1) = 1 \
    THEN array_to_string(v, '|', '~') END";
const RANGE: &str = "concat_ws('|', coalesce(lower(v)::text, '~'), coalesce(upper(v)::text, '~'), lower_inc(v)::text, upper_inc(v)::text, isempty(v)::text)";
const MULTIRANGE: &str = "coalesce((SELECT string_agg(concat_ws('|', coalesce(lower(r)::text, '~'), coalesce(upper(r)::text, '~'), \
    lower_inc(r)::text, upper_inc(r)::text, isempty(r)::text), '|') FROM unnest(v) r), '')";
