//! From dynamic messages to values.

use prost_reflect::{DynamicMessage, FieldDescriptor, Value};

use super::schema::{Member, Shape};
use crate::datum::Datum;

pub(super) type Row = Vec<Option<Datum>>;

/// The values of a message's fields; a field that is not there is null.
pub(super) fn row(members: &[Member], message: &DynamicMessage) -> Row {
    members.iter().map(|member| field(member, message)).collect()
}

fn field(Member { field, shape }: &Member, message: &DynamicMessage) -> Option<Datum> {
    if let Shape::Repeated = shape {
        let items: Vec<_> = list(message, field).iter().map(|item| datum(&Shape::Scalar, item)).collect();
        return (!items.is_empty()).then_some(Datum::List(items));
    }
    present(message, field).and_then(|value| datum(shape, &value))
}

fn present(message: &DynamicMessage, field: &FieldDescriptor) -> Option<Value> {
    message.has_field(field).then(|| message.get_field(field).into_owned())
}

fn list(message: &DynamicMessage, field: &FieldDescriptor) -> Vec<Value> {
    message.get_field(field).as_list().unwrap_or_default().to_vec()
}

fn datum(shape: &Shape, value: &Value) -> Option<Datum> {
    match (shape, value) {
        (Shape::Record(members), Value::Message(message)) => Some(Datum::Record(row(members, message))),
        (Shape::List { items, value, item }, Value::Message(message)) => {
            let unwrapped = |wrapper: &Value| match value {
                Some(value) => present(wrapper.as_message()?, value).and_then(|inner| datum(item, &inner)),
                None => datum(item, wrapper),
            };
            Some(Datum::List(list(message, items).iter().map(unwrapped).collect()))
        }
        (Shape::Map { entries, key, value }, Value::Message(message)) => {
            let text = |entry: &Value, field| match present(entry.as_message()?, field)? {
                Value::String(text) => Some(text),
                _ => None,
            };
            let entry = |it: &Value| (text(it, key).unwrap_or_default(), text(it, value).map(Datum::Text));
            Some(Datum::Map(list(message, entries).iter().map(entry).collect()))
        }
        (_, value) => scalar(value),
    }
}

fn scalar(value: &Value) -> Option<Datum> {
    Some(match value {
        Value::Bool(value) => Datum::Bool(*value),
        Value::I32(value) => Datum::Int((*value).into()),
        Value::I64(value) => Datum::Int(*value),
        Value::U32(value) => Datum::Unsigned((*value).into()),
        Value::U64(value) => Datum::Unsigned(*value),
        Value::F32(value) => Datum::Float(*value),
        Value::F64(value) => Datum::Double(*value),
        Value::String(text) => Datum::Text(text.clone()),
        Value::Bytes(bytes) => Datum::Bytes(bytes.to_vec()),
        Value::EnumNumber(_) | Value::Message(_) | Value::List(_) | Value::Map(_) => return None,
    })
}
