//! A change as people read it.

use console::{Style, StyledObject};
use serde_json::{Map, Value};

/// Longest value that is shown whole, in characters.
const VALUE_WIDTH: usize = 100;

/// Writes changes, given as documents of the envelope `native`.
#[derive(Default)]
pub(crate) struct ChangePrinter {
    /// The commit of the last change, so that each transaction has one heading.
    commit: Option<Value>,
}

impl ChangePrinter {
    /// Appends `change` to `out`.
    pub(crate) fn push(&mut self, change: &Value, out: &mut String) {
        let commit = &change["position"]["commit_lsn"];
        if self.commit.as_ref() != Some(commit) {
            self.commit = Some(commit.clone());
            let time = change["commit_time"].as_str().unwrap_or("-");
            let heading = format!("{time}  xid {}  {}", change["xid"], commit.as_str().unwrap_or("-"));
            out.push_str(&format!("{}\n", dim(heading)));
        }
        out.push_str(&line(change));
        out.push('\n');
    }
}

fn line(change: &Value) -> String {
    let table = Style::new().bold().apply_to(change["table"].as_str().unwrap_or("-"));
    let none = Map::new();
    let columns = |name: &str| change[name].as_object();
    let after = columns("after").unwrap_or(&none);
    match change["op"].as_str().unwrap_or_default() {
        "insert" => format!("{} {table}  {}", Style::new().green().apply_to("+ insert"), pairs(after.iter())),
        "load" => format!("{} {table}  {}", Style::new().green().apply_to("+ load  "), pairs(after.iter())),
        "update" => format!("{} {table}  {}", Style::new().yellow().apply_to("~ update"), update(change, after)),
        "delete" => {
            let row = columns("before").or(columns("key")).unwrap_or(&none);
            format!("{} {table}  {}", Style::new().red().apply_to("- delete"), pairs(row.iter()))
        }
        "truncate" => format!("{} {table}", Style::new().magenta().apply_to("! truncate")),
        other => format!("{other} {table}"),
    }
}

/// The key, then what is new: where the old row is known, only the columns that differ from it.
fn update(change: &Value, after: &Map<String, Value>) -> String {
    let none = Map::new();
    let key = change["key"].as_object().unwrap_or(&none);
    let before = change["before"].as_object().unwrap_or(&none);
    let unchanged: Vec<&str> = change["unchanged"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut parts = vec![pairs(key.iter())];
    for (name, value) in after {
        match before.get(name) {
            _ if unchanged.contains(&name.as_str()) => {}
            Some(old) if old == value => {}
            Some(old) => parts.push(format!("{}{} {} {}", dim(format!("{name}: ")), text(old), dim("→"), text(value))),
            None if key.get(name) == Some(value) => {}
            None => parts.push(pair(name, value)),
        }
    }
    if !unchanged.is_empty() {
        parts.push(dim(format!("({} unchanged)", unchanged.join(", "))).to_string());
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

fn pairs<'a>(columns: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    columns.map(|(name, value)| pair(name, value)).collect::<Vec<_>>().join(" ")
}

fn pair(name: &str, value: &Value) -> String {
    format!("{}{}", dim(format!("{name}=")), text(value))
}

fn text(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// What is not data steps back.
pub(crate) fn dim<T>(text: T) -> StyledObject<T> {
    Style::new().dim().apply_to(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn printed(changes: &[Value]) -> String {
        let (mut printer, mut out) = (ChangePrinter::default(), String::new());
        changes.iter().for_each(|change| printer.push(change, &mut out));
        console::strip_ansi_codes(&out).into_owned()
    }

    fn change(op: &str, rest: Value) -> Value {
        let mut change = json!({"op": op, "table": "public.orders", "key": {"id": 1}, "before": null, "after": null,
            "unchanged": [], "position": {"commit_lsn": "0/A", "seq": 0}, "xid": 7, "commit_time": "T"});
        change.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        change
    }

    #[test]
    fn each_transaction_has_one_heading() {
        let later = change("delete", json!({"position": {"commit_lsn": "0/B", "seq": 0}, "xid": 8}));
        let changes =
            [change("insert", json!({"after": {"id": 1, "note": "x"}})), change("truncate", json!({})), later];
        let expected = "\
T  xid 7  0/A
+ insert public.orders  id=1 note=\"x\"
! truncate public.orders
T  xid 8  0/B
- delete public.orders  id=1
";
        assert_eq!(printed(&changes), expected);
    }

    #[test]
    fn an_update_shows_what_differs_and_never_an_unchanged_value_as_null() {
        for (rest, expected) in [
            (json!({"after": {"id": 1, "n": 2}}), "id=1 n=2"),
            (json!({"after": {"id": 1, "n": 2, "m": 3}, "before": {"id": 1, "n": 1, "m": 3}}), "id=1 n: 1 → 2"),
            (json!({"after": {"id": 2}, "key": {"id": 2}, "before": {"id": 1}}), "id=2 id: 1 → 2"),
            (json!({"after": {"id": 1, "big": null}, "unchanged": ["big"]}), "id=1 (big unchanged)"),
        ] {
            let text = printed(&[change("update", rest.clone())]);
            assert_eq!(text.lines().nth(1), Some(format!("~ update public.orders  {expected}").as_str()), "{rest}");
        }
    }

    #[test]
    fn long_values_are_cut() {
        let text = printed(&[change("insert", json!({"after": {"note": "ü".repeat(500)}}))]);
        assert!(text.contains("ü…"), "{text}");
        assert!(text.chars().count() < 300);
    }
}
