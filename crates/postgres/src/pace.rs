//! When to read from the replication socket.
//!
//! The server's walsender makes one `send` per row. A reader that wakes for each of them competes with the walsender for the core and
//! halves the rate of both. Under load it is faster to let bytes pile up and take them some milliseconds' worth at a time. When the
//! stream is idle, each byte is read at once.
//!
//! Over TCP on one machine there is more to gain. A `send` into an open window carries its one row through the whole network stack,
//! and costs more than decoding the row did; a `send` into a closed window only appends to the sender's queue, where rows
//! coalesce into large segments. So the window is kept [small](LOCAL_WINDOW_BYTES): it closes soon after each drain, and the
//! next drain takes what has queued up, until nothing comes any more. Across a network a small window would cost throughput, so there it
//! is left alone.
//!
//! A unix socket has no window: the sender sleeps when its send buffer (`net.core.wmem_default`, about two hundred rows) is full. The
//! pauses must be so short there that no timer of the event loop can make them, and shorter still where rows are long: a pause is halved
//! when much was found after it, and doubled when little was.

use std::time::Duration;

/// Receive buffer of a connection whose server is on the same machine. The system doubles it.
pub(crate) const LOCAL_WINDOW_BYTES: usize = 32 << 10;
/// A drain of so much at once means that the reader is behind.
const LOADED_BYTES: usize = 16 << 10;
/// A drain of less after a pause means that the reader has caught up.
const QUIET_BYTES: usize = 4 << 10;
/// Drains that follow each other faster than this are wake-ups for single sends.
const QUICK: Duration = Duration::from_millis(1);
/// So many quick drains in a row mean load, however little each of them finds.
const QUICK_DRAINS: u32 = 16;
/// Long enough that many rows pile up, short enough that a sender's queue does not fill.
const TCP_PAUSE: Duration = Duration::from_millis(3);
const UNIX_PAUSE: Duration = Duration::from_micros(100);
/// The system adds some fifty microseconds to any pause.
pub(crate) const UNIX_PAUSE_LEAST: Duration = Duration::from_micros(10);
/// A drain of more after a short pause means that a sender of long rows stood still for want of room; of less than half, that it did not.
const UNIX_FULL_BYTES: usize = 32 << 10;

/// Whether, and how long, to wait between two drains of the socket.
#[derive(Debug)]
pub(crate) struct Pace {
    pause: Pause,
    quiet_bytes: usize,
    loaded: bool,
    quick_drains: u32,
}

/// A pause between two drains, counted from the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Long enough for the event loop's timer.
    Timer(Duration),
    /// So short that the thread sleeps.
    Thread(Duration),
}

impl Pause {
    /// The next pause, when `bytes` were found after this one.
    fn after(self, bytes: usize) -> Self {
        match self {
            Self::Thread(pause) if bytes > UNIX_FULL_BYTES => Self::Thread((pause / 2).max(UNIX_PAUSE_LEAST)),
            Self::Thread(pause) if bytes < UNIX_FULL_BYTES / 2 => Self::Thread((pause * 2).min(UNIX_PAUSE)),
            pause => pause,
        }
    }
}

impl Pace {
    pub(crate) fn tcp() -> Self {
        Self { pause: Pause::Timer(TCP_PAUSE), quiet_bytes: QUIET_BYTES, loaded: false, quick_drains: 0 }
    }

    pub(crate) fn unix() -> Self {
        Self { pause: Pause::Thread(UNIX_PAUSE), quiet_bytes: 1, loaded: false, quick_drains: 0 }
    }

    /// How long to let bytes pile up before the next drain; `None` when the reader has caught up: wait for the first byte.
    pub(crate) fn pause(&self) -> Option<Pause> {
        self.loaded.then_some(self.pause)
    }

    /// Notes that nothing is there to read; returns whether the reader was behind until now.
    pub(crate) fn caught_up(&mut self) -> bool {
        // Where more comes at once, the sender had only paused for a moment: that is load again, without further proof.
        self.quick_drains = QUICK_DRAINS - 1;
        std::mem::take(&mut self.loaded)
    }

    /// Learns from a drain of `bytes`, `since` the drain before.
    pub(crate) fn drained(&mut self, bytes: usize, since: Duration) {
        if self.loaded {
            self.loaded = bytes >= self.quiet_bytes;
            self.quick_drains = 0;
            self.pause = self.pause.after(bytes);
        } else {
            self.quick_drains = if since < QUICK { self.quick_drains + 1 } else { 0 };
            self.loaded = bytes >= LOADED_BYTES || self.quick_drains >= QUICK_DRAINS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1);

    #[test]
    fn an_idle_stream_is_read_at_once() {
        for mut pace in [Pace::tcp(), Pace::unix()] {
            assert_eq!(pace.pause(), None);
            pace.drained(1 << 20, LONG);
            assert!(pace.pause().is_some());
            assert!(pace.caught_up() && !pace.caught_up(), "it says so once");
            assert_eq!(pace.pause(), None);
        }
    }

    #[test]
    fn after_a_moment_without_bytes_the_load_goes_on_and_after_a_longer_one_it_is_over() {
        for (since, loaded) in [(QUICK / 2, true), (LONG, false)] {
            let mut pace = Pace::unix();
            pace.drained(1 << 20, LONG);
            assert!(pace.caught_up());
            pace.drained(150, since);
            assert_eq!(pace.pause().is_some(), loaded);
        }
    }

    #[test]
    fn pauses_are_short_while_a_unix_sender_of_long_rows_fills_its_buffer_and_long_again_afterwards() {
        let mut pace = Pace::unix();
        pace.drained(1 << 20, LONG);
        for _ in 0..20 {
            pace.drained(100 << 10, QUICK);
        }
        assert_eq!(pace.pause(), Some(Pause::Thread(UNIX_PAUSE_LEAST)));
        for _ in 0..10 {
            pace.drained(9 << 10, QUICK);
        }
        assert_eq!(pace.pause(), Some(Pause::Thread(UNIX_PAUSE)));
        pace.drained(20 << 10, QUICK);
        assert_eq!(pace.pause(), Some(Pause::Thread(UNIX_PAUSE)), "neither full nor empty");
    }

    #[test]
    fn wake_ups_for_single_rows_in_a_row_are_load_and_now_and_then_are_not() {
        let mut pace = Pace::tcp();
        for _ in 0..100 {
            pace.drained(150, LONG);
            assert_eq!(pace.pause(), None);
        }
        for _ in 0..QUICK_DRAINS {
            pace.drained(150, QUICK / 10);
        }
        assert!(pace.pause().is_some());
    }
}
