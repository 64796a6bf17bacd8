//! Schemas as text: `.proto` files.

use std::fmt;

use super::schema::{Kind, MessageField, ProtoSchema};

impl fmt::Display for ProtoSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "syntax = \"proto3\";\n\npackage {};\n", self.package)?;
        for message in &self.messages {
            write!(f, "\nmessage {} {{\n", message.name)?;
            message.fields.iter().try_for_each(|field| self.field(field, f))?;
            f.write_str("}\n")?;
        }
        Ok(())
    }
}

impl ProtoSchema {
    fn field(&self, field: &MessageField, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(comment) = &field.comment {
            writeln!(f, "  // {comment}")?;
        }
        f.write_str(if field.repeated { "  repeated " } else { "  optional " })?;
        match &field.kind {
            Kind::Scalar(name, _) => f.write_str(name)?,
            // From the root: a field may have the name of a message.
            Kind::Message(name) => write!(f, ".{}.{name}", self.package)?,
        }
        write!(f, " {} = {}", field.name, field.number)?;
        if lower_camel(&field.name) != field.json_name {
            write!(f, " [json_name = \"{}\"]", quoted(&field.json_name))?;
        }
        f.write_str(";\n")
    }
}

/// The name in JSON that Protobuf gives to a field that says none.
fn lower_camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for character in name.chars() {
        match character {
            '_' => upper = true,
            _ if upper => {
                camel.push(character.to_ascii_uppercase());
                upper = false;
            }
            _ => camel.push(character),
        }
    }
    camel
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_ascii_control() => quoted.push_str(&format!("\\{:03o}", u32::from(character))),
            _ => quoted.push(character),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_json_are_as_protobuf_makes_them() {
        for (name, json) in [("order_id", "orderId"), ("_op", "Op"), ("a__b", "aB"), ("x", "x")] {
            assert_eq!(lower_camel(name), json);
        }
        assert_eq!(quoted("a\"\\\nż"), "a\\\"\\\\\\012ż");
    }
}
