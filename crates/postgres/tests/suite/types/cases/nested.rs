//! Arrays, ranges, composites and maps.

use super::Case;

const LIST: &str = "CASE WHEN coalesce(array_ndims(v), 1) = 1 AND coalesce(array_lower(v, 1), 1) = 1 \
    THEN array_to_string(v, '|', '~') END";
const RANGE: &str = "concat_ws('|', coalesce(lower(v)::text, '~'), coalesce(upper(v)::text, '~'), \
                lower_inc(v)::text, upper_inc(v)::text, isempty(v)::text)";
const MULTIRANGE: &str = "coalesce((SELECT string_agg(concat_ws('|', coalesce(lower(r)::text, '~'), \
    coalesce(upper(r)::text, '~'), \
    lower_inc(r)::text, upper_inc(r)::text, isempty(r)::text), '|') FROM unnest(v) r), '')";

pub(super) const CASES: &[Case] = &[
    Case::new(
        "integer[]",
        &[
            "'{}'",
            "'{1,NULL,3}'",
            "'{-2147483648}'",
            "array_agg(n) FROM generate_series(1, 1000) n",
            "'{{1,2},{3,4}}'",
            "'[0:1]={1,2}'",
            "'[2:2][-1:0]={{5,NULL}}'",
            "'{{{1}}}'",
        ],
        LIST,
    )
    .special(),
    Case::new(
        "text[]",
        &["'{}'", "'{a,NULL,\"NULL\",null,\"\",\"a b\"}'", "ARRAY[$$ a'b\"c\\d,{e}(f)[g];h\t\n $$, 'ż', '{', '}']"],
        LIST,
    )
    .special(),
    Case::new("bpchar[]", &["'{a,\" b \"}'"], "'a| b '").special(),
    Case::new(
        "numeric(10,2)[]",
        &["'{1.10,-2.20,NULL}'", "'{NaN}'"],
        "CASE WHEN v::text !~ 'NaN' THEN (SELECT string_agg(coalesce(trunc(e * 100)::text, \
                '~'), '|' ORDER BY i) FROM unnest(v) WITH ORDINALITY u(e, i)) END",
    )
    .special(),
    Case::new(
        "float8[]",
        &[
            "array_agg(random() * 10::float8 ^ (n / 10)) FROM generate_series(-3000, 3000) n",
            "ARRAY['NaN', 'Infinity', '-0', 1e15, 1e14, 1e-4, 1e-5]::float8[]",
            "array_agg(n::float8) FROM generate_series(-1000, 1000, 7) n",
            "array_agg((2::float8) ^ n) FROM generate_series(-1074, 1023) n",
            "array_agg(trunc(random() * 1e16) * 8) FROM generate_series(1, 5000) n",
        ],
        "array_to_string(ARRAY(SELECT encode(float8send(e), 'hex') FROM unnest(v) WITH \
                ORDINALITY u(e, i) ORDER BY i), '|')",
    )
    .special(),
    Case::new(
        "float4[]",
        &[
            "array_agg((random() * 10 ^ (n / 10))::float4) FROM generate_series(-300, 300) n",
            "array_agg(trunc(random() * 1e8)::float4) FROM generate_series(1, 5000) n",
            "'{1e6,999999,1e-4,1e-5}'",
        ],
        "array_to_string(ARRAY(SELECT encode(float4send(e), 'hex') FROM unnest(v) WITH \
                ORDINALITY u(e, i) ORDER BY i), '|')",
    )
    .special(),
    Case::new("boolean[]", &["'{t,f,NULL}'"], "'true|false|~'").special(),
    Case::new(
        "bytea[]",
        &["'{\"\\\\x01\",\"\\\\x\"}'"],
        "array_to_string(ARRAY(SELECT encode(e, 'hex') FROM unnest(v) WITH ORDINALITY u(e, \
                i) ORDER BY i), '|')",
    )
    .special(),
    Case::new("uuid[]", &["'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'"], "replace(array_to_string(v, '|'), '-', '')")
        .special(),
    Case::new(
        "timestamptz[]",
        &["'{2024-01-01 00:00+00,NULL}'", "'{infinity}'"],
        "CASE WHEN v[1] <> 'infinity' THEN (extract(epoch FROM v[1]) * 1000000)::int8 || \
                '|~' END",
    )
    .special(),
    Case::new("interval[]", &["'{1 day,\"1 mon -1 day\"}'"], "'0|1|0|1|-1|0'").special(),
    Case::new("mood[]", &["'{sad,\"so so\",\"it''s \\\"fine\\\"\"}'"], LIST).special(),
    Case::new("box[]", &["'{(1,1),(0,0);(2,2),(1,1)}'"], LIST).special(),
    Case::new("pair[]", &["ARRAY[(1, 'a b'), (NULL, ''), NULL]::pair[]"], "'1|a b|~||~'").special(),
    Case::new("jsonb[]", &["ARRAY['{\"a\": \"b,c\"}', '[]']::jsonb[]"], LIST).special(),
    Case::new("hstore[]", &["ARRAY['a=>1', '']::hstore[]"], "'a|1|'").special(),
    Case::new(
        "labels",
        &["'{a,b}'", "'{{a},{b}}'"],
        "CASE WHEN array_ndims(v) = 1 THEN array_to_string(v, '|', '~') END",
    )
    .special(),
    Case::new("int4range[]", &["'{\"[1,5)\",empty}'"], "'1|5|true|false|false|~|~|false|false|true'").special(),
    Case::new("int4range", &["'[1,5]'", "'empty'", "'(,5)'", "'[1,)'", "'(,)'"], RANGE),
    Case::new("int8range", &["'[-9223372036854775808,9223372036854775806]'"], RANGE),
    Case::new("numrange", &["'[1.50,2.5]'", "'(-Infinity,NaN]'"], RANGE),
    Case::new(
        "words",
        &["words('a,b', 'c \"d\"', '[]')", "words('', '(', '()')", "words('x', NULL)", "words('[', E'\\\\')"],
        RANGE,
    ),
    Case::new(
        "floats",
        &["'[-0.5,1e300)'"],
        "encode(float8send(lower(v)), 'hex') || '|' || encode(float8send(upper(v)), 'hex') \
                || '|true|false|false'",
    ),
    Case::new(
        "daterange",
        &["'[2024-01-01,2024-01-05]'", "'(,2024-01-01)'", "'[2024-01-01,infinity]'"],
        "CASE WHEN upper(v) <> 'infinity' THEN concat_ws('|', coalesce((lower(v) - DATE \
                '1970-01-01')::text, '~'), (upper(v) - DATE '1970-01-01')::text, lower_inc(v)::text, \
                upper_inc(v)::text, isempty(v)::text) END",
    )
    .special(),
    Case::new(
        "tsrange",
        &["'[2024-01-01 00:00,2024-01-02 12:00:00.5)'", "'[-infinity,2024-01-02)'"],
        "CASE WHEN lower(v) <> '-infinity' THEN concat_ws('|', (extract(epoch FROM lower(v)) \
                * 1000000)::int8, (extract(epoch FROM upper(v)) * 1000000)::int8, \
                lower_inc(v)::text, upper_inc(v)::text, isempty(v)::text) END",
    )
    .special(),
    Case::new(
        "tstzrange",
        &["'[\"2024-01-01 00:00+02\",\"2024-01-02 00:00-03\")'"],
        "concat_ws('|', (extract(epoch FROM lower(v)) * 1000000)::int8, (extract(epoch FROM \
                upper(v)) * 1000000)::int8, lower_inc(v)::text, upper_inc(v)::text, \
                isempty(v)::text)",
    )
    .special(),
    Case::new("int4multirange", &["'{}'", "'{[1,2),[5,7)}'", "'{(,1),[3,)}'"], MULTIRANGE),
    Case::new("nummultirange", &["'{[1.5,2.50],(3,4)}'"], MULTIRANGE),
    Case::new("many_floats", &["'{[1,2)}'"], "'3ff0000000000000|4000000000000000|true|false|false'"),
    Case::new(
        "datemultirange",
        &["'{[2024-01-01,2024-01-02)}'", "'{[2024-01-01,2024-01-02),[2024-01-05,infinity)}'"],
        "'19723|19724|true|false|false'",
    )
    .special(),
    Case::new(
        "tstzmultirange",
        &["'{[2024-01-01 00:00+00,2024-01-02 00:00+00)}'"],
        "'1704067200000000|1704153600000000|true|false|false'",
    )
    .special(),
    Case::new(
        "pair",
        &[
            "ROW(1, 'x')::pair",
            "ROW(NULL, NULL)::pair",
            "ROW(-1, '')::pair",
            "ROW(2, $$ a'b\"c\\d,{e}(f)[g];h\t\n $$)::pair",
        ],
        "concat_ws('|', coalesce((v::pair).a::text, '~'), coalesce((v::pair).b, '~'))",
    ),
    Case::new(
        "texts",
        &["ROW('null', 'NULL')::texts", "ROW('(', E'\\\\\"')::texts"],
        "concat_ws('|', (v::texts).a, (v::texts).\"the b\")",
    ),
    Case::new(
        "nested",
        &[
            "ROW(ROW(1, 'a \"b\"'), '2024-01-01', 1.5, '{1,NULL}', 'so so')::nested",
            "ROW(NULL, NULL, NULL, '{}', NULL)::nested",
            "ROW(ROW(1, 'x'), 'infinity', 1, '{}', 'ok')::nested",
        ],
        "CASE WHEN (v).at = '2024-01-01' THEN '1|a \"b\"|19723|150|1|~|so so' ELSE \
                '~|~|~||~' END",
    )
    .special(),
    Case::new(
        "hstore",
        &[
            "''",
            "'a=>1, b=>NULL'",
            "hstore($$ a'b\"c\\d,{e}(f)[g];h\t\n $$, 'NULL')",
            "hstore('', '')",
            "hstore('k=>v, x', '\"')",
        ],
        "array_to_string(ARRAY(SELECT unnest(ARRAY[key, coalesce(value, '~')]) FROM \
                each(v)), '|')",
    ),
];
