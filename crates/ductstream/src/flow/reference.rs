//! `${env:NAME}` and `${file:PATH}` in values.
//!
//! They are replaced after the file is parsed, so whatever a secret holds, it cannot become structure.

use std::path::{Path, PathBuf};

use super::problem::Problem;
use super::tree::{Kind, Node, Scalar};

/// Where references find their values.
pub struct Lookup<'a> {
    /// An environment variable's value.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// What a relative `${file:PATH}` is relative to: the flow file's directory.
    pub directory: PathBuf,
}

impl Lookup<'_> {
    /// The process's own environment.
    pub fn process(directory: &Path) -> Self {
        Self { variable: &|name| std::env::var(name).ok(), directory: directory.to_owned() }
    }
}

/// Replaces every reference below `node`.
pub(crate) fn resolve(node: &mut Node, lookup: &Lookup<'_>) -> Result<(), Problem> {
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().try_for_each(|item| resolve(item, lookup)),
        Kind::Map(entries) => entries.iter_mut().try_for_each(|entry| resolve(&mut entry.value, lookup)),
        Kind::Scalar(scalar) => match resolve_scalar(scalar, lookup) {
            Ok(()) => Ok(()),
            // Not `at`: these messages quote no value.
            Err(problem) => Err(Problem { mark: Some(node.mark), field: node.path.clone(), ..problem }),
        },
    }
}

fn resolve_scalar(scalar: &mut Scalar, lookup: &Lookup<'_>) -> Result<(), Problem> {
    let text = std::mem::take(&mut scalar.text);
    let mut rest = text.as_str();
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        if let Some(literal) = before.strip_suffix('$') {
            scalar.text.push_str(literal);
            scalar.text.push_str("${");
            rest = &from[2..];
            continue;
        }
        scalar.text.push_str(before);
        let end = from.find('}').ok_or_else(|| malformed("a `${` has no `}`"))?;
        let (reference, after) = from.split_at(end + 1);
        scalar.text.push_str(&value_of(reference, lookup)?);
        scalar.references.push(reference.to_owned());
        rest = after;
    }
    scalar.text.push_str(rest);
    Ok(())
}

fn value_of(reference: &str, lookup: &Lookup<'_>) -> Result<String, Problem> {
    let inside = reference.trim_start_matches("${").trim_end_matches('}');
    match inside.split_once(':') {
        Some(("env", name)) => (lookup.variable)(name).ok_or_else(|| {
            Problem::new(format!("the environment variable {name} is not set"))
                .remedy(format!("set {name}, or write the value in place of {reference}"))
        }),
        Some(("file", path)) => {
            let path = lookup.directory.join(path);
            let text = std::fs::read_to_string(&path).map_err(|error| {
                Problem::new(format!("cannot read the file {}: {error}", path.display()))
                    .remedy(format!("correct the path in {reference}; a relative one begins at the flow file"))
            })?;
            // Files made by editors and `echo` end with a line break that is no part of the value.
            let value = text.strip_suffix('\n').unwrap_or(&text);
            Ok(value.strip_suffix('\r').unwrap_or(value).to_owned())
        }
        _ => Err(malformed(&format!("{reference} is not a reference"))),
    }
}

fn malformed(message: &str) -> Problem {
    Problem::new(message).remedy("write ${env:NAME} or ${file:PATH}; `$${` stands for `${` itself")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::tree;

    fn resolved(text: &str) -> Result<String, String> {
        let variable = |name: &str| (name == "PASSWORD").then(|| "p: [1, ${env:PASSWORD}\n".to_owned());
        let mut node = tree::parse(text).unwrap();
        resolve(&mut node, &Lookup { variable: &variable, directory: PathBuf::from("/nowhere") })
            .map_err(|problem| problem.message)?;
        let Kind::Scalar(scalar) = &node.find("a").kind else { panic!("a text") };
        Ok(scalar.text.clone())
    }

    #[test]
    fn references_are_replaced_once_and_never_parsed() {
        for (text, expected) in [
            ("a: x${env:PASSWORD}y", "xp: [1, ${env:PASSWORD}\ny"),
            ("a: $${env:PASSWORD}", "${env:PASSWORD}"),
            ("a: $$ $x {namespace} }", "$$ $x {namespace} }"),
            ("a: '${env:PASSWORD}${env:PASSWORD}'", "p: [1, ${env:PASSWORD}\np: [1, ${env:PASSWORD}\n"),
            ("a: ''", ""),
        ] {
            assert_eq!(resolved(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_reference_that_leads_nowhere_is_named() {
        for (text, expected) in [
            ("a: ${env:MISSING}", "the environment variable MISSING is not set"),
            ("a: ${env:}", "the environment variable  is not set"),
            ("a: ${file:secret}", "cannot read the file /nowhere/secret"),
            ("a: ${vault:x}", "${vault:x} is not a reference"),
            ("a: '${env:PASSWORD'", "a `${` has no `}`"),
        ] {
            assert!(resolved(text).unwrap_err().contains(expected), "{text}: {:?}", resolved(text));
        }
    }

    #[test]
    fn a_file_gives_its_text_without_the_last_line_break() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), "two\nlines\r\n").unwrap();
        let mut node = tree::parse("a: ${file:secret}").unwrap();
        resolve(&mut node, &Lookup::process(directory.path())).unwrap();
        let Kind::Scalar(scalar) = &node.find("a").kind else { panic!("a text") };
        assert_eq!(scalar.text, "two\nlines");
    }
}
