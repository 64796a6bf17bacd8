//! What is wrong in a flow file, and where.

use std::fmt;

use ductstream_core::Error;
use serde::de::{self, Expected, Unexpected};

use super::tree::{Kind, Node};

/// A place in a file: line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// One thing that is wrong. Carries no secret: values that a reference gave are never quoted.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) mark: Option<Mark>,
    /// The field, as `destinations[0].bucket`; empty for the whole file.
    pub(crate) field: String,
    pub(crate) message: String,
    pub(crate) remedy: Option<String>,
}

impl Problem {
    /// Something is wrong with a file as a whole, or at a place that is not known yet.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { mark: None, field: String::new(), message: message.into(), remedy: None }
    }

    /// Something is wrong with `node`.
    pub(crate) fn on(node: &Node, message: impl Into<String>) -> Self {
        Self { mark: Some(node.mark), field: node.path.clone(), ..Self::new(message) }
    }

    /// What to do about it, as an imperative sentence without a full stop.
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Suggests the nearest of `known` to `given`, or lists them.
    pub(crate) fn suggest(self, given: &str, known: &[&str]) -> Self {
        match nearest(given, known) {
            Some(name) => self.remedy(format!("write `{name}`, if that was meant")),
            None if known.is_empty() => self,
            None => self.remedy(format!("use one of: {}", known.join(", "))),
        }
    }

    /// Says where, unless that is known already. What a visitor says about a value that came from a reference may quote
    /// it, and is replaced.
    pub(crate) fn at(mut self, node: &Node) -> Self {
        if self.mark.is_some() {
            return self;
        }
        (self.mark, self.field) = (Some(node.mark), node.path.clone());
        if let Kind::Scalar(scalar) = &node.kind
            && let Some(reference) = scalar.references.first()
        {
            self.message = format!("the value of {reference} does not fit this field");
            self.remedy = None;
        }
        self
    }

    /// The error that a user sees: `orders.yaml:12:5: field destinations[0].bucket: ...`.
    pub(crate) fn into_error(self, file: &str) -> Error {
        let place = self.mark.map(|mark| format!(":{}:{}", mark.line, mark.column)).unwrap_or_default();
        let field = if self.field.is_empty() { String::new() } else { format!("field {}: ", self.field) };
        let error = Error::configuration(format!("{file}{place}: {field}{}", self.message));
        match self.remedy {
            Some(remedy) => error.with_remedy(remedy),
            None => error,
        }
    }
}

/// The name among `known` that `given` was probably meant to be.
pub(crate) fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &&&str| strsim::damerau_levenshtein(&given.to_lowercase(), name);
    let name = known.iter().min_by_key(distance)?;
    (distance(&name) <= 1.max(given.len().max(name.len()) / 3)).then_some(name)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        // serde's own words for an untagged enum speak of Rust types.
        match message.strip_prefix("data did not match any variant") {
            Some(_) => Self::new("the value has none of the forms that this field takes"),
            None => Self::new(message),
        }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, found {}", describe(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(given: &str, known: &'static [&'static str]) -> Self {
        Self::new(format!("`{given}` is not a value that this field takes")).suggest(given, known)
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(format!("the field `{name}` is missing"))
    }
}

/// Numbers are quoted, texts are not: a text may be a password in the wrong place.
fn describe(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => value.to_string(),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a section with fields".to_owned(),
        _ => "a text".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["name", "source", "destinations", "checkpoint"];
        assert_eq!(nearest("destination", &known), Some("destinations"));
        assert_eq!(nearest("Source", &known), Some("source"));
        assert_eq!(nearest("nmae", &known), Some("name"));
        assert_eq!(nearest("kafka", &known), None);
        assert_eq!(nearest("x", &[]), None);
    }
}
