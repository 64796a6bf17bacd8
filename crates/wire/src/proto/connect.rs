//! Protobuf schemas of Connect's.
//!
//! The message of a struct has the last part of its semantic name, and its fields are numbered in their order; those of rows and keys have
//! numbers by their names, as everywhere (see [`schema`](super::schema)). A `Decimal` is a message of the number's bytes, its
//! precision and its scale, with the fields of `confluent.type.Decimal`; every other semantic type is its plain one, and named in
//! the comment of the field.

use arrow_schema::{DataType, Field};
use ductstream_core::{Error, Result};

use super::push_varint;
use super::schema::{BYTES, Builder, INT32, Kind, Numbers, ProtoSchema, Shape, UINT32, plain, proto_schema, tag};
use crate::envelope::debezium::connect::{DECIMAL, NAME, PARAMETERS, PRECISION};
use crate::names::{escape, escape_path};

/// The message of decimals.
const DECIMAL_MESSAGE: &str = "Decimal";

/// The schema of the structs of `field`, in the package that the first parts of its semantic name make.
///
/// # Errors
/// `Configuration` when Protobuf cannot hold a column.
pub(crate) fn connect_proto(field: &Field, numbers: Numbers) -> Result<ProtoSchema> {
    let (Some(name), DataType::Struct(fields)) = (semantic(field), field.data_type()) else {
        return Err(Error::bug(format!("{} is no struct with a semantic name", field.name())));
    };
    let (package, part) = name.rsplit_once('.').unwrap_or(("", name));
    proto_schema(&escape_path(package), &escape(part), fields, numbers)
}

/// The field's semantic type.
pub(super) fn semantic(field: &Field) -> Option<&String> {
    field.metadata().get(NAME)
}

pub(super) fn is_semantic(field: &Field) -> bool {
    semantic(field).is_some()
}

pub(super) fn is_decimal(field: &Field) -> bool {
    semantic(field).is_some_and(|name| name == DECIMAL)
}

/// The last part of the semantic type's name.
pub(super) fn simple_name(field: &Field) -> String {
    let name = semantic(field).map_or("", String::as_str);
    escape(name.rsplit('.').next().unwrap_or(name))
}

impl Builder {
    pub(super) fn decimal(&mut self, field: &Field) -> (Kind, Shape) {
        if !self.messages.iter().any(|message| message.name == DECIMAL_MESSAGE) {
            let index = self.begin(DECIMAL_MESSAGE);
            self.messages[index].fields =
                vec![plain("value", 1, BYTES), plain("precision", 2, UINT32), plain("scale", 3, INT32)];
        }
        let number = |name: &str| field.metadata().get(&format!("{PARAMETERS}{name}"))?.parse::<i64>().ok();
        let mut rest = Vec::new();
        for (number, tag) in [(number(PRECISION), tag(2, &UINT32)), (number("scale"), tag(3, &INT32))] {
            if let Some(number) = number {
                rest.extend_from_slice(&tag);
                push_varint(number.cast_unsigned(), &mut rest);
            }
        }
        (Kind::Message(DECIMAL_MESSAGE.to_owned()), Shape::Unscaled { value: tag(1, &BYTES), rest })
    }
}
