//! How long to wait before the pipeline is built again.

use std::time::Duration;

use ductstream_core::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Pauses between attempts: they double from `initial` up to `max`, each shortened by a random part of up to a half, so that
/// many flows do not come back at the same instant. A flow never gives up by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetrySettings {
    /// The first pause.
    pub initial: Span,
    /// The longest pause.
    pub max: Span,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { initial: Span(Duration::from_millis(500)), max: Span(Duration::from_secs(30)) }
    }
}

/// The state of one series of pauses.
#[derive(Debug)]
pub struct Backoff {
    settings: RetrySettings,
    failures: u32,
}

impl Backoff {
    /// A series that has not begun.
    pub fn new(settings: RetrySettings) -> Self {
        Self { settings, failures: 0 }
    }

    /// Starts over: something went well.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next pause, given a random number in `0.0..1.0`.
    pub fn next(&mut self, random: f64) -> Duration {
        let doubled = self.settings.initial.0.saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.settings.max.0).mul_f64(1.0 - random / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_cap_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(RetrySettings::default());
        let pauses: Vec<_> = (0..8).map(|_| backoff.next(0.0).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        backoff.reset();
        assert_eq!(backoff.next(0.0).as_millis(), 500);
        assert_eq!(backoff.next(1.0).as_millis(), 500, "a half of one second");
    }
}
