//! Which tables a pattern means.

use std::collections::BTreeSet;

use ductstream_core::{Error, Result, TableName};

use super::table::{Kind, Table};
use crate::connect::Connection;

/// The tables that the patterns mean, by name.
///
/// A pattern is `namespace.table`, or a table of `public`; `*` stands for any characters and `?` for one. A partition
/// is left to the table above it where that is meant as well.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) naming a pattern that means no table.
pub async fn resolve(connection: &mut Connection, patterns: &[String]) -> Result<Vec<TableName>> {
    let tables = super::table::load_all(connection).await?;
    Ok(choose(&tables, patterns)?.into_iter().map(|table| table.name.clone()).collect())
}

/// As [`resolve`], among the `tables` of a database.
///
/// # Errors
/// As [`resolve`].
pub fn choose<'a>(tables: &'a [Table], patterns: &[String]) -> Result<Vec<&'a Table>> {
    let mut meant: Vec<&Table> = Vec::new();
    for pattern in patterns {
        let (namespace, name) = pattern.split_once('.').unwrap_or(("public", pattern));
        let fits = |table: &&Table| glob(namespace, &table.name.namespace) && glob(name, &table.name.name);
        let (found, others): (Vec<_>, Vec<_>) = tables.iter().filter(fits).partition(|table| table.can_be_published());
        if found.is_empty() {
            return Err(no_table(pattern, &others, tables));
        }
        meant.extend(found);
    }
    let oids: BTreeSet<u32> = meant.iter().map(|table| table.oid).collect();
    meant.retain(|table| !table.ancestors.iter().any(|ancestor| oids.contains(ancestor)));
    meant.sort_by_key(|table| &table.name);
    meant.dedup_by_key(|table| table.oid);
    Ok(meant)
}

/// `others` fit the pattern and cannot be published.
fn no_table(pattern: &str, others: &[&Table], tables: &[Table]) -> Error {
    match others {
        [] => {}
        [table, ..] if table.kind == Kind::Unlogged => {
            return Error::configuration(format!(
                "source.tables: {} is unlogged: its changes are not in the WAL",
                table.name
            ))
            .with_remedy(format!("run ALTER TABLE {} SET LOGGED, or take it out of `source.tables`", table.name));
        }
        [table, ..] => {
            return Error::configuration(format!(
                "source.tables: {} is not a table that has changes of its own",
                table.name
            ))
            .with_remedy("name the table behind it, or take it out of `source.tables`");
        }
    }
    let error = Error::configuration(format!("source.tables: no table is named {pattern:?}"));
    match nearest(pattern, tables) {
        Some(name) => error
            .with_remedy(format!("write {name} in `source.tables`, if that is what was meant, or create the table")),
        None => error.with_remedy("change `source.tables`, or create the table"),
    }
}

/// The table whose name is most like `pattern`.
fn nearest<'a>(pattern: &str, tables: &'a [Table]) -> Option<&'a TableName> {
    let likeness = |table: &Table| {
        let qualified = strsim::jaro_winkler(pattern, &table.name.to_string());
        qualified.max(strsim::jaro_winkler(pattern, &table.name.name))
    };
    let candidates = tables.iter().filter(|table| table.can_be_published());
    let best = candidates.map(|table| (likeness(table), &table.name)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > 0.8).map(|(_, name)| name)
}

/// Whether `text` is what `pattern` means: `*` stands for any characters, `?` for one.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(one) if *one == '?' || *one == text[seen] => (at, seen) = (at + 1, seen + 1),
            _ => match star {
                // What the last star stands for grows by one character.
                Some((star_at, from)) => {
                    star = Some((star_at, from + 1));
                    (at, seen) = (star_at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use ductstream_core::ReplicaIdentity;

    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_a_question_mark_for_one() {
        for (pattern, text, matches) in [
            ("orders", "orders", true),
            ("orders", "order", false),
            ("order_*", "order_", true),
            ("order_*", "order_items", true),
            ("*_log", "a_log_log", true),
            ("*_log", "a_logs", false),
            ("o?d", "old", true),
            ("o?d", "od", false),
            ("*", "", true),
            ("a*b*c", "a1b2b3c", true),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }

    fn table(oid: u32, name: &str, kind: Kind, ancestors: &[u32]) -> Table {
        let (namespace, name) = name.split_once('.').unwrap();
        Table {
            oid,
            name: TableName::new(namespace, name),
            kind,
            ancestors: ancestors.to_vec(),
            identity: ReplicaIdentity::Default,
            primary_key: Vec::new(),
            identity_index: Vec::new(),
            generated: Default::default(),
            estimated_rows: None,
            owned: true,
        }
    }

    fn shop() -> Vec<Table> {
        vec![
            table(1, "archive.orders", Kind::Ordinary, &[]),
            table(2, "parts.events_1", Kind::Ordinary, &[4]),
            table(3, "public.cache", Kind::Unlogged, &[]),
            table(4, "public.events", Kind::Partitioned, &[]),
            table(5, "public.events_0", Kind::Ordinary, &[4]),
            table(6, "public.orders", Kind::Ordinary, &[]),
            table(7, "public.orders_view", Kind::Other, &[]),
        ]
    }

    fn chosen(patterns: &[&str]) -> Result<Vec<String>> {
        let patterns: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        Ok(choose(&shop(), &patterns)?.iter().map(|table| table.name.to_string()).collect())
    }

    #[test]
    fn patterns_mean_tables_and_leave_partitions_to_their_root() {
        let table = [
            (vec!["orders"], vec!["public.orders"]),
            (vec!["*.orders"], vec!["archive.orders", "public.orders"]),
            (vec!["public.*"], vec!["public.events", "public.orders"]),
            (vec!["public.orders", "public.order*"], vec!["public.orders"]),
            (vec!["parts.*"], vec!["parts.events_1"]),
            (vec!["public.events_0"], vec!["public.events_0"]),
            (vec!["parts.*", "events"], vec!["public.events"]),
        ];
        for (patterns, expected) in table {
            assert_eq!(chosen(&patterns).unwrap(), expected, "{patterns:?}");
        }
    }

    #[test]
    fn a_pattern_that_means_nothing_is_named_with_what_may_have_been_meant() {
        let table = [
            ("public.ordres", "\"public.ordres\"", "public.orders"),
            ("evnts", "\"evnts\"", "public.events"),
            ("nothing.like.it", "\"nothing.like.it\"", "create the table"),
            ("public.cache", "unlogged", "SET LOGGED"),
            ("orders_view", "public.orders_view", "behind"),
        ];
        for (pattern, word, remedy) in table {
            let error = chosen(&[pattern]).unwrap_err();
            assert!(error.message().contains(word) && error.remedy().unwrap().contains(remedy), "{error:?}");
        }
    }
}
