//! The command line, the flow file and the small destinations, from outside.

mod suite {
    mod command_line;
    mod flow_file;
    mod flow_schema;
    mod small_destinations;
}
