//! The `ductstream` command: the only place that knows every connector and every codec.
//!
//! - [`flow`]: the flow file, from text to typed settings, with errors that name line and field.
//! - [`destination`]: the small destinations, `stdout` and `null`.
//! - [`connectors`]: what each connector can do, and whether a flow's destination fits.
//! - [`components`]: builds a flow's source, codec and destinations from its settings.
//! - [`dead_letter`]: records that a destination refuses, kept apart and delivered later.
//! - [`cli`]: the command line, a file per command.

pub mod cli;
pub mod components;
pub mod connectors;
pub mod dead_letter;
pub mod destination;
pub mod flow;
