//! Schemas as descriptors: messages of `google/protobuf/descriptor.proto`.

use super::schema::{Kind, Message, MessageField, ProtoSchema};
use super::{push_delimited, push_varint};

const OPTIONAL: u64 = 1;
const REPEATED: u64 = 3;
const TYPE_MESSAGE: u64 = 11;

impl ProtoSchema {
    /// A `FileDescriptorSet` with the schema's file.
    pub(super) fn descriptor_set(&self) -> Vec<u8> {
        let mut out = Vec::new();
        message(1, &mut out, |file| {
            text(1, &self.file, file);
            text(2, &self.package, file);
            self.messages.iter().for_each(|it| message(4, file, |out| self.describe(it, out)));
            message(9, file, |out| self.comments(out));
            text(12, "proto3", file);
        });
        out
    }

    /// A `SourceCodeInfo` with the comments of fields, which say what numbers mean. A place in the text belongs to each, and is not known.
    fn comments(&self, out: &mut Vec<u8>) {
        const PLACE: [u64; 3] = [0; 3];
        let fields = |(index, it): (usize, &'_ Message)| {
            let fields = it.fields.iter().enumerate();
            fields.filter_map(|(field, it)| Some((index, field, it.comment.clone()?))).collect::<Vec<_>>()
        };
        for (index, field, comment) in self.messages.iter().enumerate().flat_map(fields) {
            message(1, out, |out| {
                numbers(1, &[4, index as u64, 2, field as u64], out);
                numbers(2, &PLACE, out);
                text(3, &format!(" {comment}\n"), out);
            });
        }
    }

    fn describe(&self, it: &Message, out: &mut Vec<u8>) {
        text(1, &it.name, out);
        let mut presences = Vec::new();
        for field in &it.fields {
            message(2, out, |out| self.describe_field(field, &mut presences, out));
        }
        // Presence in proto3 is a choice of one field, whose name must be free.
        let mut taken: Vec<String> = it.fields.iter().map(|field| field.name.clone()).collect();
        for field in presences {
            // As protoc names it.
            let mut name = if field.starts_with('_') { format!("X{field}") } else { format!("_{field}") };
            while taken.contains(&name) {
                name.insert(0, 'X');
            }
            message(8, out, |out| text(1, &name, out));
            taken.push(name);
        }
    }

    fn describe_field(&self, field: &MessageField, presences: &mut Vec<String>, out: &mut Vec<u8>) {
        text(1, &field.name, out);
        number(3, field.number.into(), out);
        number(4, if field.repeated { REPEATED } else { OPTIONAL }, out);
        match &field.kind {
            Kind::Scalar(_, code) => number(5, (*code).into(), out),
            Kind::Message(name) => {
                number(5, TYPE_MESSAGE, out);
                text(6, &format!(".{}.{name}", self.package), out);
            }
        }
        if !field.repeated {
            number(9, presences.len() as u64, out);
            presences.push(field.name.clone());
        }
        text(10, &field.json_name, out);
        if !field.repeated {
            number(17, 1, out);
        }
    }
}

fn number(field: u64, value: u64, out: &mut Vec<u8>) {
    push_varint(field << 3, out);
    push_varint(value, out);
}

fn numbers(field: u64, values: &[u64], out: &mut Vec<u8>) {
    message(field, out, |out| values.iter().for_each(|value| push_varint(*value, out)));
}

fn text(field: u64, value: &str, out: &mut Vec<u8>) {
    message(field, out, |out| out.extend_from_slice(value.as_bytes()));
}

fn message(field: u64, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    push_varint(field << 3 | 2, out);
    push_delimited(out, write);
}
