//! The flow file's JSON Schema, for editors and for other programs.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::settings::Flow;

/// The JSON Schema (draft 2020-12) of a flow file, as it is published under `schemas/flow.schema.json`.
pub fn json_schema() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Flow>();
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::read::FIELDS;

    #[test]
    fn the_schema_describes_every_field_of_a_flow_file_and_no_other() {
        let schema = json_schema();
        let mut fields: Vec<_> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut known = FIELDS.to_vec();
        fields.sort_unstable();
        known.sort_unstable();
        assert_eq!(fields, known);
        assert_eq!(schema["required"], serde_json::json!(["name", "source", "format", "destinations"]));
        assert_eq!(schema["additionalProperties"], false);
    }
}
