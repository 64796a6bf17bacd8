//! Connection URLs and keyword strings.
//!
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>

use ductstream_core::{Error, Result};
use percent_encoding::percent_decode_str;

use super::parameters::Parameters;

/// Reads a URL or a keyword string. Messages never quote it, for it may hold a password.
pub(super) fn parse(text: &str) -> Result<Parameters> {
    let text = text.trim();
    let mut parameters = Parameters::default();
    match text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
        Some(rest) => parse_url(rest, &mut parameters)?,
        None => parse_keywords(text, &mut parameters)?,
    }
    Ok(parameters)
}

const URL: &str = "the connection URL";
const STRING: &str = "the connection string";

fn parse_url(rest: &str, parameters: &mut Parameters) -> Result<()> {
    // As libpq does: credentials end at the first `@` that comes before any `/`.
    let rest = match rest.find(['@', '/']) {
        Some(at) if rest.as_bytes()[at] == b'@' => {
            let (user, password) = split_optional(&rest[..at], ':');
            set_decoded(parameters, "user", user)?;
            set_decoded(parameters, "password", password.unwrap_or_default())?;
            &rest[at + 1..]
        }
        _ => rest,
    };
    let (rest, query) = split_optional(rest, '?');
    let (hosts, database) = split_optional(rest, '/');
    parse_hosts(hosts, parameters)?;
    set_decoded(parameters, "dbname", database.unwrap_or_default())?;
    query.map_or(Ok(()), |query| parse_query(query, parameters))
}

fn split_optional(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn set_decoded(parameters: &mut Parameters, keyword: &str, encoded: &str) -> Result<()> {
    if encoded.is_empty() {
        return Ok(());
    }
    parameters.set(keyword, decode(encoded, keyword)?, URL)
}

/// `host[:port],...`, where a host may be a bracketed IPv6 address or a percent-encoded socket directory.
fn parse_hosts(text: &str, parameters: &mut Parameters) -> Result<()> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for item in text.split(',') {
        let (host, port) = match item.strip_prefix('[') {
            Some(bracketed) => {
                let (address, after) = bracketed.split_once(']').ok_or_else(|| {
                    malformed("the host starts with [ and has no closing ]", "write an IPv6 address as [::1]")
                })?;
                let port = after.strip_prefix(':');
                if port.is_none() && !after.is_empty() {
                    return Err(malformed("something other than a port follows ]", "write [address]:port"));
                }
                (address, port)
            }
            None => split_optional(item, ':'),
        };
        hosts.push(decode(host, "host")?);
        ports.push(decode(port.unwrap_or_default(), "port")?);
    }
    if hosts.iter().any(|host| !host.is_empty()) {
        parameters.set("host", hosts.join(","), URL)?;
    }
    if ports.iter().any(|port| !port.is_empty()) {
        parameters.set("port", ports.join(","), URL)?;
    }
    Ok(())
}

fn parse_query(query: &str, parameters: &mut Parameters) -> Result<()> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (keyword, value) = pair
            .split_once('=')
            .ok_or_else(|| malformed("a parameter after ? has no value", "write parameters as name=value"))?;
        let (keyword, value) = (decode(keyword, "parameter name")?, decode(value, keyword)?);
        // JDBC's spelling, which libpq takes as well.
        if keyword == "ssl" && value == "true" {
            parameters.set("sslmode", "require".into(), URL)?;
        } else {
            parameters.set(&keyword, value, URL)?;
        }
    }
    Ok(())
}

fn decode(encoded: &str, what: &str) -> Result<String> {
    let bytes = encoded.as_bytes();
    let complete = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        bytes.get(at + 1..at + 3).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit) && pair != b"00")
    });
    let decoded = percent_decode_str(encoded).decode_utf8();
    match decoded {
        Ok(text) if complete => Ok(text.into_owned()),
        _ => Err(malformed(
            &format!("{what} holds a % that does not start a percent-encoded character"),
            "write % itself as %25",
        )),
    }
}

fn malformed(problem: &str, remedy: &str) -> Error {
    Error::configuration(format!("{URL} cannot be read: {problem}")).with_remedy(remedy)
}

/// `keyword = value ...`, where a value may be quoted, and a backslash takes the next character as it is.
fn parse_keywords(text: &str, parameters: &mut Parameters) -> Result<()> {
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (keyword, after) = (&rest[..end], rest[end..].trim_start());
        let Some(after) = after.strip_prefix('=') else {
            // What stands here may be a part of a password with a space in it: it is not quoted.
            return Err(Error::configuration(format!("{STRING} cannot be read: a word is not followed by ="))
                .with_remedy("write postgresql://user@host:port/dbname, or keyword=value pairs, with quotes around a value that holds spaces"));
        };
        let (value, after) = take_value(after.trim_start())?;
        parameters.set(keyword, value, STRING)?;
        rest = after.trim_start();
    }
    Ok(())
}

fn take_value(text: &str) -> Result<(String, &str)> {
    let (quoted, text) = match text.strip_prefix('\'') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            c if !quoted && c.is_ascii_whitespace() => return Ok((value, &text[at..])),
            c => value.push(c),
        }
    }
    if quoted {
        let error = Error::configuration(format!("{STRING} cannot be read: a quoted value has no closing quote"));
        return Err(error.with_remedy("close the quote; write a quote inside a value as \\'"));
    }
    Ok((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let parameters = parse(text).unwrap();
        ["user", "password", "host", "port", "dbname", "sslmode", "application_name"]
            .iter()
            .filter_map(|keyword| Some((keyword.to_string(), parameters.get(keyword)?.to_owned())))
            .collect()
    }

    #[test]
    fn urls_and_keyword_strings_are_read_as_libpq_reads_them() {
        let table: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("postgresql://", &[]),
            ("postgres://localhost", &[("host", "localhost")]),
            ("postgresql://localhost:5433", &[("host", "localhost"), ("port", "5433")]),
            ("postgresql://localhost/mydb", &[("host", "localhost"), ("dbname", "mydb")]),
            ("postgresql://user@localhost", &[("user", "user"), ("host", "localhost")]),
            (
                "postgresql://u%40x:p%3Aa:b%2F@h/d%20b",
                &[("user", "u@x"), ("password", "p:a:b/"), ("host", "h"), ("dbname", "d b")],
            ),
            (
                "postgresql://other@localhost/otherdb?application_name=myapp&sslmode=require",
                &[
                    ("user", "other"),
                    ("host", "localhost"),
                    ("dbname", "otherdb"),
                    ("sslmode", "require"),
                    ("application_name", "myapp"),
                ],
            ),
            (
                "postgresql://host1:123,host2:456/somedb",
                &[("host", "host1,host2"), ("port", "123,456"), ("dbname", "somedb")],
            ),
            ("postgresql://host1,host2:456/", &[("host", "host1,host2"), ("port", ",456")]),
            (
                "postgresql://[2001:db8::1234]:5433/database",
                &[("host", "2001:db8::1234"), ("port", "5433"), ("dbname", "database")],
            ),
            (
                "postgresql:///mydb?host=localhost&port=5433",
                &[("host", "localhost"), ("port", "5433"), ("dbname", "mydb")],
            ),
            ("postgresql://%2Fvar%2Flib%2Fpostgresql/dbname", &[("host", "/var/lib/postgresql"), ("dbname", "dbname")]),
            ("postgresql://h?ssl=true", &[("host", "h"), ("sslmode", "require")]),
            ("postgresql://@h/", &[("host", "h")]),
            ("host=localhost port=5432  dbname = mydb", &[("host", "localhost"), ("port", "5432"), ("dbname", "mydb")]),
            (r"user='a b' password='it\'s \\'", &[("user", "a b"), ("password", r"it's \")]),
            (r"password=a\ b user=''  host=h", &[("password", "a b"), ("host", "h")]),
            ("host=a host=b", &[("host", "b")]),
        ];
        for (text, expected) in table {
            let expected: Vec<_> = expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            assert_eq!(pairs(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_quoting_it() {
        let table = [
            "postgresql://[::1",
            "postgresql://[::1]x/db",
            "postgresql://u:secret%@h",
            "postgresql://u:secret%0@h",
            "postgresql://u:secret%00@h",
            "postgresql://h?secret",
            "mysql://u:secret@h/db",
            "mysql://u:secret@h/db?a=b",
            "password=se secret",
            "password='secret",
            "secret",
        ];
        for text in table {
            let error = parse(text).err().unwrap_or_else(|| panic!("{text} was taken"));
            assert_eq!(error.kind(), ductstream_core::ErrorKind::Configuration);
            assert!(error.remedy().is_some(), "{text}");
            assert!(!error.report().contains("secret"), "{}", error.report());
        }
    }

    #[test]
    fn an_unknown_parameter_is_named_with_the_nearest_known_one() {
        let error = parse("postgresql://h/db?sslmod=require").err().unwrap();
        assert!(error.message().contains("\"sslmod\""), "{error}");
        assert!(error.remedy().unwrap().contains("\"sslmode\""), "{error:?}");
    }

    #[test]
    fn a_parameter_without_a_meaning_here_is_refused_by_name() {
        for text in ["sslcrl=/x", "gssencmode=require", "client_encoding=LATIN1", "replication=true"] {
            let error = parse(text).err().unwrap();
            assert!(error.message().contains(text.split('=').next().unwrap()), "{error}");
        }
        assert!(parse("gssencmode=disable client_encoding=UTF8").is_ok());
    }
}
