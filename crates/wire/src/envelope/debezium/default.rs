//! Defaults of columns: those that are literals, of types whose literal is the value.

use arrow_schema::{DataType, Field};
use ductstream_core::metadata;
use serde_json::Value;

use super::connect::Connect;

/// OIDs of `text`, `character(n)` and `character varying`.
const TEXTS: [&str; 3] = ["25", "1042", "1043"];

/// The default of the column `field` in its Connect type. `None` when it has none, or one that has to be computed, or of a type whose
/// values look otherwise than its literals.
pub(super) fn of(field: &Field, connect: &Connect) -> Option<Value> {
    let tag = |key: &str| field.metadata().get(key).map(String::as_str);
    let literal = literal(tag(metadata::PG_DEFAULT)?)?;
    if connect.is_named() {
        return None;
    }
    match connect.data_type {
        DataType::Boolean => literal.parse::<bool>().ok().map(Value::from),
        DataType::Int16 => literal.parse::<i16>().ok().map(Value::from),
        DataType::Int32 => literal.parse::<i32>().ok().map(Value::from),
        DataType::Int64 => literal.parse::<i64>().ok().map(Value::from),
        DataType::Float32 | DataType::Float64 if field.data_type().is_floating() => {
            literal.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from)
        }
        DataType::Utf8 if TEXTS.contains(&tag(metadata::PG_OID)?) => Some(literal.into()),
        _ => None,
    }
}

/// What a literal says, as PostgreSQL prints one: `7`, `(-7)`, `true`, `'it''s'::text`, `'-1'::integer`.
fn literal(expression: &str) -> Option<String> {
    let Some(quoted) = expression.strip_prefix('\'') else {
        let bare = expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(expression);
        let number = |char: char| char.is_ascii_digit() || matches!(char, '.' | '-');
        let plain = matches!(bare, "true" | "false") || !bare.is_empty() && bare.chars().all(number);
        return plain.then(|| bare.to_owned());
    };
    let mut text = String::new();
    let mut rest = quoted;
    loop {
        let (part, behind) = rest.split_once('\'')?;
        text.push_str(part);
        // A quote inside of the text is written twice.
        let Some(behind) = behind.strip_prefix('\'') else { return is_cast(behind).then_some(text) };
        text.push('\'');
        rest = behind;
    }
}

/// Whether this is one cast to a named type, and nothing else.
fn is_cast(text: &str) -> bool {
    let part_of_name = |char: char| char.is_alphanumeric() || matches!(char, ' ' | '_' | '.' | '"' | '(' | ')' | ',');
    text.strip_prefix("::").is_some_and(|name| !name.is_empty() && name.chars().all(part_of_name))
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn literals_are_told_from_what_has_to_be_computed() {
        for (expression, expected) in [
            ("7", Some("7")),
            ("(-7)", Some("-7")),
            ("1.50", Some("1.50")),
            ("true", Some("true")),
            ("'-1'::integer", Some("-1")),
            ("'it''s'::text", Some("it's")),
            ("''''::character varying(10)", Some("'")),
            ("''::text", Some("")),
            ("now()", None),
            ("nextval('t_id_seq'::regclass)", None),
            ("NULL::text", None),
            ("('a'::text || 'b'::text)", None),
            ("'a'::text || 'b'::text", None),
            ("'now'::text::date", None),
            ("E'a\\\\b'::text", None),
            ("CURRENT_TIMESTAMP", None),
            ("'open", None),
            ("()", None),
            ("", None),
        ] {
            assert_eq!(literal(expression).as_deref(), expected, "{expression}");
        }
    }
}
