//! Quoting for SQL text and replication commands.

/// `name` as a quoted identifier.
pub fn quote_identifier(name: &str) -> String {
    postgres_protocol::escape::escape_identifier(name)
}

/// `value` as a string literal, whatever `standard_conforming_strings` says. Replication commands know no such literals: there,
/// double the quotes only.
pub fn quote_literal(value: &str) -> String {
    postgres_protocol::escape::escape_literal(value).trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_cannot_end_what_they_are_in() {
        assert_eq!(quote_identifier(r#"a"b"#), r#""a""b""#);
        assert_eq!(quote_literal("a'b"), "'a''b'");
        assert_eq!(quote_literal(r"a\'b"), r"E'a\\''b'");
    }
}
