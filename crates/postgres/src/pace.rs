//! When to read from the replication socket.
//!
//! The server's walsender makes one `send` per row. A reader that wakes for each of them competes with the walsender for the core and
//! halves the rate of both. Under load it is faster to let bytes pile up in the receive buffer and take them a few milliseconds'
//! worth at a time; but never so long that the buffer fills, for then the walsender sleeps. When the stream is idle, each byte
//! is read at once.

use std::time::Duration;

/// A drain of so much at once means that the reader is behind.
const LOADED_BYTES: usize = 16 << 10;
/// A drain of less after a pause means that the reader has caught up.
const QUIET_BYTES: usize = 4 << 10;
/// Drains that follow each other faster than this are wake-ups for single sends.
const QUICK: Duration = Duration::from_millis(1);
/// So many quick drains in a row mean load, however little each of them finds.
const QUICK_DRAINS: u32 = 16;
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(4);
const STEP: Duration = Duration::from_millis(1);

/// The pause between two drains of the socket, tuned by how full the drains were.
#[derive(Debug)]
pub(crate) struct Pace {
    loaded: bool,
    pause: Duration,
    quick_drains: u32,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { loaded: false, pause: Duration::from_millis(2), quick_drains: 0 }
    }

    /// How long to let bytes pile up before the next drain; `None` when the reader has caught up: wait for the first byte.
    pub(crate) fn pause(&self) -> Option<Duration> {
        self.loaded.then_some(self.pause)
    }

    /// Learns from a drain of `bytes` out of a receive buffer that holds `capacity`, `since` the drain before.
    pub(crate) fn drained(&mut self, bytes: usize, capacity: usize, since: Duration) {
        if !self.loaded {
            self.quick_drains = if since < QUICK { self.quick_drains + 1 } else { 0 };
            self.loaded = bytes >= LOADED_BYTES || self.quick_drains >= QUICK_DRAINS;
            return;
        }
        if bytes < QUIET_BYTES {
            (self.loaded, self.quick_drains) = (false, 0);
        } else if bytes > capacity / 2 {
            self.pause = self.pause.saturating_sub(STEP).max(SHORTEST);
        } else if bytes < capacity / 8 {
            self.pause = (self.pause + STEP).min(LONGEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1);

    #[test]
    fn an_idle_stream_is_read_at_once() {
        let mut pace = Pace::new();
        assert_eq!(pace.pause(), None);
        pace.drained(1 << 20, 6 << 20, LONG);
        assert!(pace.pause().is_some());
        pace.drained(100, 6 << 20, LONG);
        assert_eq!(pace.pause(), None);
    }

    #[test]
    fn wake_ups_for_single_rows_in_a_row_are_load_and_now_and_then_are_not() {
        let mut pace = Pace::new();
        for _ in 0..100 {
            pace.drained(150, 6 << 20, LONG);
            assert_eq!(pace.pause(), None);
        }
        for _ in 0..QUICK_DRAINS {
            pace.drained(150, 6 << 20, QUICK / 10);
        }
        assert!(pace.pause().is_some());
    }

    #[test]
    fn a_filling_buffer_shortens_the_pause_and_a_hollow_one_lengthens_it() {
        let mut pace = Pace::new();
        for _ in 0..5 {
            pace.drained(5 << 20, 6 << 20, LONG);
        }
        assert_eq!(pace.pause(), Some(SHORTEST));
        for _ in 0..5 {
            pace.drained(20 << 10, 6 << 20, LONG);
        }
        assert_eq!(pace.pause(), Some(LONGEST));
    }
}
