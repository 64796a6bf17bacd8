//! The kit does what it promises, against real servers.

mod suite {
    mod network;
    mod postgres;
    mod processes;
}
