//! The command line, the flow file and the small destinations, from outside.

#![expect(clippy::unwrap_used, reason = "what fails here is a failed test")]

mod suite {
    mod command_line;
    mod commands;
    mod decode;
    mod flow_file;
    mod flow_schema;
    mod small_destinations;
}
