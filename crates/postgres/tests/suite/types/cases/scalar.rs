//! Types with Arrow values of their own.

use super::Case;

const NUMBER: &str = "v::text";
const FLOAT4: &str = "encode(float4send(v), 'hex')";
const FLOAT8: &str = "encode(float8send(v), 'hex')";
const HEX: &str = "encode(v, 'hex')";
const DATE: &str = "CASE WHEN isfinite(v) THEN (v - DATE '1970-01-01')::text END";
const TIME: &str = "(extract(epoch FROM v) * 1000000)::int8::text";
const TIMESTAMP: &str = "CASE WHEN isfinite(v) THEN ((v::date - DATE '1970-01-01')::numeric * 86400000000 \
    + (extract(epoch FROM v::time) * 1000000)::int8)::text END";
const TIMESTAMPTZ: &str = "CASE WHEN isfinite(v) THEN \
    (((v AT TIME ZONE 'UTC')::date - DATE '1970-01-01')::numeric * 86400000000 \
    + (extract(epoch FROM (v AT TIME ZONE 'UTC')::time) * 1000000)::int8)::text END";
const INTERVAL: &str = "CASE WHEN v::text !~ 'infinity' THEN \
    (extract(year FROM v) * 12 + extract(month FROM v))::int || '|' || extract(day FROM v) || '|' || \
    (extract(hour FROM v) * 3600000000::numeric + extract(minute FROM v) * 60000000 \
    + extract(microseconds FROM v))::int8 END";

pub(super) const CASES: &[Case] = &[
    Case::new("boolean", &["true", "false"], NUMBER),
    Case::new("smallint", &["-32768", "0", "32767"], NUMBER),
    Case::new("integer", &["-2147483648", "0", "2147483647"], NUMBER),
    Case::new("bigint", &["-9223372036854775808", "0", "9223372036854775807"], NUMBER),
    Case::new("oid", &["0", "4294967295"], NUMBER),
    Case::new(
        "real",
        &[
            "'NaN'",
            "'-Infinity'",
            "'-0'",
            "1e-45",
            "3.4028235e38",
            "0.1",
            "(random() * 10 ^ n)::real FROM generate_series(-30, 30) n",
        ],
        FLOAT4,
    ),
    Case::new(
        "double precision",
        &[
            "'NaN'",
            "'Infinity'",
            "'-0'",
            "5e-324",
            "1.7976931348623157e308",
            "0.1",
            "random() * 10 ^ n FROM generate_series(-300, 300) n",
        ],
        FLOAT8,
    ),
    Case::new(
        "numeric(12,2)",
        &["0", "-0.01", "1.1", "9999999999.99", "-9999999999.99", "10000", "'NaN'"],
        "CASE WHEN v <> 'NaN' THEN (v * 100)::numeric(80,0)::text END",
    )
    .special(),
    Case::new("numeric(38,0)", &["99999999999999999999999999999999999999", "-1", "10000000000000000"], "v::text")
        .special(),
    Case::new(
        "numeric(38,37)",
        &["9.9999999999999999999999999999999999999", "-0.0000000000000000000000000000000000001", "1"],
        "(v * 10::numeric ^ 37)::numeric(80,0)::text",
    )
    .special(),
    Case::new(
        "numeric(76,20)",
        &[
            "99999999999999999999999999999999999999999999999999999999.99999999999999999999",
            "-0.00000000000000000001",
            "'NaN'",
        ],
        "CASE WHEN v <> 'NaN' THEN (v * 100000000000000000000)::numeric(80,0)::text END",
    )
    .special(),
    Case::new(
        "numeric(10,4)",
        &["(random() * 10 ^ (n % 6))::numeric * (CASE WHEN n % 2 = 0 THEN 1 ELSE -1 END) FROM \
                generate_series(1, 500) n"],
        "(v * 10000)::numeric(80,0)::text",
    )
    .special(),
    Case::new("numeric(2,5)", &["0.00012", "-0.00099"], "(v * 100000)::numeric(80,0)::text").special().since(15),
    Case::new("bytea", &["''", "'\\x00ff7f80'", "decode(repeat('ab', 5000), 'hex')"], HEX),
    Case::new(
        "uuid",
        &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'00000000-0000-0000-0000-000000000000'"],
        "replace(v::text, '-', '')",
    ),
    Case::new(
        "date",
        &[
            "'2024-02-29'",
            "'0001-01-01'",
            "'0001-12-31 BC'",
            "'4713-01-01 BC'",
            "'5874897-12-31'",
            "'10000-01-01'",
            "'infinity'",
            "'-infinity'",
            "DATE '1900-01-01' + n * 37 FROM generate_series(1, 2000) n",
        ],
        DATE,
    )
    .special(),
    Case::new("time", &["'00:00'", "'23:59:59.999999'", "'12:00:00.1'", "'24:00'"], TIME).special(),
    Case::new("time(3)", &["'13:14:15.1234'"], TIME).special(),
    Case::new(
        "timestamp",
        &[
            "'2024-02-29 13:14:15.123456'",
            "'1969-12-31 23:59:59.999999'",
            "'0044-03-15 12:00:00 BC'",
            "'294276-12-31 23:59:59.999999'",
            "'294247-01-10 04:00:54.775807'",
            "'4713-01-01 00:00:00 BC'",
            "'infinity'",
            "'-infinity'",
            "TIMESTAMP '1800-01-01' + n * INTERVAL '40 days 1:02:03.000004' FROM \
                generate_series(1, 2000) n",
        ],
        TIMESTAMP,
    )
    .special(),
    Case::new("timestamp(3)", &["'2024-02-29 13:14:15.123456'"], TIMESTAMP).special(),
    Case::new(
        "timestamptz",
        &["'2024-02-29 13:14:15.5+05:30'", "'0044-03-15 12:00:00+00 BC'", "'infinity'", "'12024-01-01 00:00:00-03'"],
        TIMESTAMPTZ,
    )
    .special(),
    Case::new("timestamptz(0)", &["'2024-02-29 13:14:15.5+05:30'"], TIMESTAMPTZ).special(),
    Case::new(
        "interval",
        &[
            "'0'",
            "'1 year 2 mons 3 days 04:05:06.789'",
            "'-1 year +2 mons -3 days +04:05:06.789'",
            "'-14 mons'",
            "'1 day -00:00:01'",
            "'1000 hours'",
            "'-178000000 years'",
            "'2147483647 days'",
            "'-0.000001 seconds'",
        ],
        INTERVAL,
    )
    .special(),
    Case::new("interval", &["'infinity'", "'-infinity'"], INTERVAL).special().since(17),
    Case::new("interval day to second(3)", &["'1 day 2:03:04.5678'"], INTERVAL).special(),
    Case::new("interval year to month", &["'1-2'"], INTERVAL).special(),
    Case::new("positive", &["5"], NUMBER),
    Case::new("price", &["1.5", "'NaN'"], "CASE WHEN v <> 'NaN' THEN (v * 100)::numeric(80,0)::text END").special(),
];
