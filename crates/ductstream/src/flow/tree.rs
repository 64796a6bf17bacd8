//! A YAML (or JSON) document as a tree whose nodes know where they stand.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput};

use super::problem::{Mark, Problem};

/// Nodes of one document, aliases counted as often as they are used: a small file must not grow without bound.
const MAX_NODES: usize = 100_000;

/// How deep lists and sections may nest.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) mark: Mark,
    /// The field, as `destinations[0].bucket`; empty for the document itself.
    pub(crate) path: String,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Written without quotes: may stand for a number, a truth value or nothing. It stays a text where a text is asked for,
    /// so `NO`, `1e3` and `0123` mean what they say.
    pub(crate) plain: bool,
    /// The references that were replaced in it, such as `${env:PASSWORD}`.
    pub(crate) references: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_mark: Mark,
    pub(crate) value: Node,
}

impl Node {
    /// The value of the field `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The fields of a section; none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            Kind::Scalar(_) | Kind::List(_) => &[],
        }
    }

    /// The node at `path`, or the nearest one around it.
    pub(crate) fn find(&self, path: &str) -> &Node {
        let children: Box<dyn Iterator<Item = &Node>> = match &self.kind {
            Kind::Scalar(_) => return self,
            Kind::List(items) => Box::new(items.iter()),
            Kind::Map(entries) => Box::new(entries.iter().map(|entry| &entry.value)),
        };
        let inside = |child: &&Node| {
            path.strip_prefix(child.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        children.into_iter().find(inside).map_or(self, |child| child.find(path))
    }

    fn set_path(&mut self, path: String) {
        match &mut self.kind {
            Kind::Scalar(_) => {}
            Kind::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.set_path(format!("{path}[{index}]"));
                }
            }
            Kind::Map(entries) => {
                for entry in entries {
                    let dot = if path.is_empty() { "" } else { "." };
                    entry.value.set_path(format!("{path}{dot}{}", entry.key));
                }
            }
        }
        self.path = path;
    }

    fn size(&self) -> usize {
        1 + match &self.kind {
            Kind::Scalar(_) => 0,
            Kind::List(items) => items.iter().map(Node::size).sum(),
            Kind::Map(entries) => entries.iter().map(|entry| entry.value.size()).sum(),
        }
    }
}

/// Reads the one document in `text`. JSON is read as the YAML that it is.
pub(crate) fn parse(text: &str) -> Result<Node, Problem> {
    let mut loader = Loader { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut document = None;
    loop {
        let (event, mark) = loader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            _ if document.is_some() => return Err(wrong(mark, "the file holds more than one document")),
            event => document = Some(loader.node(event, mark, 0)?),
        }
    }
    let mut document = document.ok_or_else(|| Problem::new("the file is empty"))?;
    document.set_path(String::new());
    Ok(document)
}

struct Loader<'input> {
    parser: Parser<'input, StrInput<'input>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'input> Loader<'input> {
    fn next(&mut self) -> Result<(Event<'input>, Mark), Problem> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, mark_of(span.start))),
            Some(Err(error)) => Err(wrong(mark_of(*error.marker()), format!("not valid YAML: {}", error.info()))),
            None => Err(Problem::new("the file ends too early")),
        }
    }

    fn node(&mut self, event: Event<'input>, mark: Mark, depth: usize) -> Result<Node, Problem> {
        if depth > MAX_DEPTH {
            return Err(wrong(mark, format!("lists and sections nest deeper than {MAX_DEPTH}")));
        }
        let (kind, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, mark),
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.as_ref().is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                if let (Some(tag), false) = (&tag, is_text) {
                    return Err(wrong(mark, format!("the tag {tag} has no meaning here")));
                }
                let plain = style == ScalarStyle::Plain && !is_text;
                (Kind::Scalar(Scalar { text: text.into_owned(), plain, references: Vec::new() }), anchor)
            }
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(depth)?, anchor),
            _ => return Err(wrong(mark, "expected a value")),
        };
        let node = Node { mark, path: String::new(), kind };
        self.count(1, mark)?;
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Kind, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Kind::List(items)),
                (event, mark) => items.push(self.node(event, mark, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Kind, Problem> {
        let (mut entries, mut seen) = (Vec::new(), HashSet::new());
        loop {
            let (event, key_mark) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Kind::Map(entries)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(wrong(key_mark, "a field's name must be plain text")),
            };
            if !seen.insert(key.clone()) {
                return Err(wrong(key_mark, format!("the field `{key}` is given twice")));
            }
            let (event, mark) = self.next()?;
            entries.push(Entry { key, key_mark, value: self.node(event, mark, depth + 1)? });
        }
    }

    fn alias(&mut self, anchor: usize, mark: Mark) -> Result<Node, Problem> {
        let node = self.anchors.get(&anchor).cloned();
        let node = node.ok_or_else(|| wrong(mark, "the alias refers to a value that it is part of"))?;
        self.count(node.size(), mark)?;
        Ok(node)
    }

    fn count(&mut self, nodes: usize, mark: Mark) -> Result<(), Problem> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(wrong(mark, format!("the file holds more than {MAX_NODES} values")));
        }
        Ok(())
    }
}

fn mark_of(marker: Marker) -> Mark {
    Mark { line: marker.line(), column: marker.col() + 1 }
}

fn wrong(mark: Mark, message: impl Into<String>) -> Problem {
    Problem { mark: Some(mark), ..Problem::new(message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_know_their_line_and_path() {
        let tree = parse("a: 1\nb:\n  - c: x\n    d: [y, z]\n").unwrap();
        let node = tree.find("b[0].d[1]");
        assert_eq!((node.path.as_str(), node.mark), ("b[0].d[1]", Mark { line: 4, column: 12 }));
        assert_eq!(tree.find("b[0].missing").path, "b[0]");
        assert_eq!(tree.find("b[7]").path, "b");
    }

    #[test]
    fn json_is_yaml() {
        let tree = parse("{\"a\": {\"b\": [1, \"two\\n\"]},\n\t\"c\": null}").unwrap();
        let Kind::Scalar(scalar) = &tree.find("a.b[1]").kind else { panic!("a text") };
        assert_eq!((scalar.text.as_str(), scalar.plain), ("two\n", false));
    }

    #[test]
    fn aliases_repeat_what_they_name_and_cannot_grow_without_bound() {
        let tree = parse("a: &x {b: 1}\nc: *x\n").unwrap();
        assert_eq!(tree.find("c.b").path, "c.b");
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let names = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{names}]\n"));
        }
        assert!(parse(&bomb).unwrap_err().message.contains("more than"));
        assert!(parse(&"[".repeat(500)).is_err());
        assert!(parse("a: &a [*a]").is_err());
    }
}
