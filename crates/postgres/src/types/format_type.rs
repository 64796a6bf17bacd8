//! Type names as the server's `format_type` prints them.

use super::catalog::{TypeCatalog, TypeInfo, TypeKind};

/// See [`TypeCatalog::format_type`]. Follows `format_type_extended` in `src/backend/utils/adt/format_type.c`.
pub(super) fn format_type(catalog: &TypeCatalog, oid: u32, typmod: i32) -> String {
    match catalog.get(oid) {
        None => format!("type {oid}"),
        Some(TypeInfo { kind: TypeKind::Array { element }, .. }) => {
            format!("{}[]", format_type(catalog, *element, typmod))
        }
        Some(info) => built_in(oid, typmod).unwrap_or_else(|| other(info, typmod)),
    }
}

fn other(info: &TypeInfo, typmod: i32) -> String {
    if typmod < 0 || info.prints_typmod {
        info.display_name.clone()
    } else {
        format!("{}({typmod})", info.display_name)
    }
}

/// Types with names of more than one word, or with modifiers that print in a way of their own.
fn built_in(oid: u32, typmod: i32) -> Option<String> {
    let plain = match oid {
        16 => "boolean",
        18 => "\"char\"",
        20 => "bigint",
        21 => "smallint",
        23 => "integer",
        700 => "real",
        701 => "double precision",
        1042 => return Some(length("character", "bpchar", typmod, 4)),
        1043 => return Some(length("character varying", "character varying", typmod, 4)),
        1083 => return Some(precision("time", " without time zone", typmod)),
        1114 => return Some(precision("timestamp", " without time zone", typmod)),
        1184 => return Some(precision("timestamp", " with time zone", typmod)),
        1186 => return Some(interval(typmod)),
        1266 => return Some(precision("time", " with time zone", typmod)),
        1560 => return Some(length("bit", "\"bit\"", typmod, 0)),
        1562 => return Some(length("bit varying", "bit varying", typmod, 0)),
        1700 => return Some(numeric(typmod)),
        _ => return None,
    };
    Some(plain.to_owned())
}

/// `name(n)`, or `bare` without a modifier: `character` and `bit` alone would mean a length of 1.
fn length(name: &str, bare: &str, typmod: i32, header: i32) -> String {
    if typmod < header { bare.to_owned() } else { format!("{name}({})", typmod - header) }
}

fn precision(name: &str, zone: &str, typmod: i32) -> String {
    if typmod < 0 { format!("{name}{zone}") } else { format!("{name}({typmod}){zone}") }
}

fn numeric(typmod: i32) -> String {
    match super::numeric::Declared::from_typmod(typmod) {
        Some(declared) => format!("numeric({},{})", declared.precision, declared.scale),
        None => "numeric".to_owned(),
    }
}

const YEAR: i32 = 1 << 2;
const MONTH: i32 = 1 << 1;
const DAY: i32 = 1 << 3;
const HOUR: i32 = 1 << 10;
const MINUTE: i32 = 1 << 11;
const SECOND: i32 = 1 << 12;

fn interval(typmod: i32) -> String {
    if typmod < 0 {
        return "interval".to_owned();
    }
    let fields = interval_fields((typmod >> 16) & 0x7fff);
    match typmod & 0xffff {
        0xffff => format!("interval{fields}"),
        precision => format!("interval{fields}({precision})"),
    }
}

fn interval_fields(mask: i32) -> &'static str {
    const FIELDS: [(i32, &str); 13] = [
        (YEAR, " year"),
        (MONTH, " month"),
        (DAY, " day"),
        (HOUR, " hour"),
        (MINUTE, " minute"),
        (SECOND, " second"),
        (YEAR | MONTH, " year to month"),
        (DAY | HOUR, " day to hour"),
        (DAY | HOUR | MINUTE, " day to minute"),
        (DAY | HOUR | MINUTE | SECOND, " day to second"),
        (HOUR | MINUTE, " hour to minute"),
        (HOUR | MINUTE | SECOND, " hour to second"),
        (MINUTE | SECOND, " minute to second"),
    ];
    FIELDS.iter().find(|(fields, _)| *fields == mask).map_or("", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_print_as_the_server_prints_them() {
        let catalog = TypeCatalog::new();
        let cases = [
            (1700, 786_438, "numeric(12,2)"),
            (1700, -1, "numeric"),
            (1700, (3 << 16 | 0x7fe) + 4, "numeric(3,-2)"),
            (1043, 14, "character varying(10)"),
            (1042, 9, "character(5)"),
            (1042, -1, "bpchar"),
            (1560, 8, "bit(8)"),
            (1560, -1, "\"bit\""),
            (1114, 3, "timestamp(3) without time zone"),
            (1184, -1, "timestamp with time zone"),
            (1266, 0, "time(0) with time zone"),
            (1186, (0x1c08 << 16) | 3, "interval day to second(3)"),
            (1186, (4 << 16) | 0xffff, "interval year"),
            (1186, (0x7fff << 16) | 2, "interval(2)"),
            (1009, -1, "text[]"),
            (1231, 786_438, "numeric(12,2)[]"),
            (1002, -1, "\"char\"[]"),
            (4451, -1, "int4multirange"),
            (99_999, -1, "type 99999"),
        ];
        for (oid, typmod, name) in cases {
            assert_eq!(catalog.format_type(oid, typmod), name);
        }
    }
}
