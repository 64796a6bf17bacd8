//! Reads settings structs from a tree.
//!
//! Differs from a usual deserializer where people are caught: a text field takes a plain scalar as it is written, whatever
//! else YAML would make of it; an unknown field is named with its own line; and a number may come from a reference.

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::problem::Problem;
use super::tree::{Entry, Kind, Node, Scalar};

/// Reads a `T` from `node`.
pub(crate) fn read<T: DeserializeOwned>(node: &Node) -> Result<T, Problem> {
    T::deserialize(Reader(node)).map_err(|problem: Problem| problem.at(node))
}

#[derive(Clone, Copy)]
struct Reader<'n>(&'n Node);

impl<'n> Reader<'n> {
    fn scalar<'de, V: Visitor<'de>>(self, visitor: &V) -> Result<&'n Scalar, Problem> {
        let found = match &self.0.kind {
            Kind::Scalar(scalar) => return Ok(scalar),
            Kind::List(_) => de::Unexpected::Seq,
            Kind::Map(_) => de::Unexpected::Map,
        };
        Err(de::Error::invalid_type(found, visitor))
    }

    fn entries<'de, V: Visitor<'de>>(self, visitor: &V) -> Result<&'n [Entry], Problem> {
        match &self.0.kind {
            Kind::Map(entries) => Ok(entries),
            Kind::List(_) => Err(de::Error::invalid_type(de::Unexpected::Seq, visitor)),
            Kind::Scalar(scalar) => {
                Err(Problem::new(format!("expected a section with fields, found {}", scalar.describe())))
            }
        }
    }

    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let scalar = self.scalar(&visitor)?;
        if !scalar.plain && scalar.references.is_empty() {
            return Err(Problem::new("expected a number, found a text").remedy("write the number without quotes"));
        }
        match scalar.number() {
            Some(number) => number.visit(visitor),
            None => Err(Problem::new(format!("expected a number, found {}", scalar.describe()))),
        }
    }

    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.0.kind {
            Kind::List(items) => visitor.visit_seq(Items(items.iter())),
            Kind::Map(entries) => visitor.visit_map(Fields { entries: entries.iter(), value: None }),
            Kind::Scalar(scalar) if scalar.is_null() => visitor.visit_unit(),
            Kind::Scalar(scalar) => match scalar.truth().filter(|_| scalar.plain) {
                Some(truth) => visitor.visit_bool(truth),
                None => match scalar.number().filter(|_| scalar.plain && scalar.references.is_empty()) {
                    Some(number) => number.visit(visitor),
                    None => visitor.visit_str(&scalar.text),
                },
            },
        }
    }
}

enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl Number {
    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self {
            Self::Unsigned(value) => visitor.visit_u64(value),
            Self::Signed(value) => visitor.visit_i64(value),
            Self::Float(value) => visitor.visit_f64(value),
        }
    }
}

impl Scalar {
    /// Nothing was written, or `null` or `~`.
    pub(crate) fn is_null(&self) -> bool {
        self.plain && self.references.is_empty() && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    fn truth(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    fn number(&self) -> Option<Number> {
        let text = self.text.trim();
        let unsigned = text.parse().ok().map(Number::Unsigned);
        let signed = || text.parse().ok().map(Number::Signed);
        let numeric = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
        let float = || text.parse().ok().filter(|_| numeric).map(Number::Float);
        unsigned.or_else(signed).or_else(float)
    }

    fn describe(&self) -> String {
        match self.references.first() {
            Some(reference) => format!("what {reference} gives"),
            None if self.is_null() => "nothing".to_owned(),
            None => "a text".to_owned(),
        }
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            self.number(visitor).map_err(|problem| problem.at(self.0))
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Problem;

    numbers! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_f32 deserialize_f64
    }

    forward_to_deserialize_any! { bytes byte_buf unit unit_struct tuple tuple_struct ignored_any }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.any(visitor).map_err(|problem| problem.at(self.0))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let scalar = self.scalar(&visitor).map_err(|problem| problem.at(self.0))?;
        let truth = scalar.truth().filter(|_| scalar.plain || !scalar.references.is_empty());
        let wrong = || Problem::on(self.0, format!("expected true or false, found {}", scalar.describe()));
        visitor.visit_bool(truth.ok_or_else(wrong)?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let read = |visitor: V| {
            let scalar = self.scalar(&visitor)?;
            if scalar.is_null() {
                return Err(de::Error::invalid_type(de::Unexpected::Unit, &visitor));
            }
            visitor.visit_str(&scalar.text)
        };
        read(visitor).map_err(|problem: Problem| problem.at(self.0))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.0.kind {
            Kind::Scalar(scalar) if scalar.is_null() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self).map_err(|problem| problem.at(self.0))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.0.kind {
            Kind::List(_) => self.deserialize_any(visitor),
            Kind::Map(_) => Err(Problem::on(self.0, "expected a list, found a section with fields")),
            Kind::Scalar(scalar) => Err(Problem::on(self.0, format!("expected a list, found {}", scalar.describe()))
                .remedy("write a list as [first, second]")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let read = |visitor: V| {
            let entries = self.entries(&visitor)?;
            visitor.visit_map(Fields { entries: entries.iter(), value: None })
        };
        read(visitor).map_err(|problem: Problem| problem.at(self.0))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        if let Kind::Map(entries) = &self.0.kind {
            refuse_unknown(self.0, entries, known)?;
        }
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let read = |visitor: V| {
            let name: StrDeserializer<'_, Problem> = self.scalar(&visitor)?.text.as_str().into_deserializer();
            visitor.visit_enum(name)
        };
        read(visitor).map_err(|problem: Problem| problem.at(self.0))
    }
}

/// Refuses the first field of `section` that is not among `known`.
pub(crate) fn refuse_unknown(section: &Node, entries: &[Entry], known: &[&str]) -> Result<(), Problem> {
    let Some(entry) = entries.iter().find(|entry| !known.contains(&entry.key.as_str())) else { return Ok(()) };
    let message = match section.path.as_str() {
        "" => format!("unknown field `{}`", entry.key),
        path => format!("unknown field `{}` in {path}", entry.key),
    };
    let problem = Problem { mark: Some(entry.key_mark), ..Problem::on(&entry.value, message) };
    Err(problem.suggest(&entry.key, known))
}

struct Items<'n>(std::slice::Iter<'n, Node>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        let item = self.0.next();
        item.map(|item| seed.deserialize(Reader(item)).map_err(|problem: Problem| problem.at(item))).transpose()
    }
}

struct Fields<'n> {
    entries: std::slice::Iter<'n, Entry>,
    value: Option<&'n Node>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(&entry.value);
        let key: StrDeserializer<'_, Problem> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let value = self.value.take().ok_or_else(|| Problem::new("a value was asked for before its field"))?;
        seed.deserialize(Reader(value)).map_err(|problem: Problem| problem.at(value))
    }
}
