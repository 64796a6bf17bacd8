//! The built binary against real servers, from the flow file to the files that come out.

mod changes;
mod faults;
mod harness;
