//! The stores against a real file and a real server.

mod suite {
    mod postgres;
    mod sqlite;
}
