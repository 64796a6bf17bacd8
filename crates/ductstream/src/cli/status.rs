//! A running flow's status, for a terminal, a log or a program.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use console::Style;
use ductstream_runner::{FlowStatus, Phase};
use serde_json::json;
use tokio::sync::watch;

use super::output;
use super::screen::Screen;

/// How often a terminal is redrawn.
const LIVE_INTERVAL: Duration = Duration::from_millis(250);

/// How often a program gets an event.
const JSON_INTERVAL: Duration = Duration::from_secs(1);

/// How often a log gets a line.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Tables that a terminal shows, the busiest first.
const LIVE_TABLES: usize = 10;

/// Who looks at the status.
pub(crate) enum Display {
    /// People, at a terminal.
    Live(Screen),
    /// A program, on standard output.
    Json,
    /// A log.
    Log,
}

/// Follows a status and shows it now and then.
pub(crate) struct Progress {
    flow: String,
    display: Display,
    rate: Rate,
}

/// Rows per second between two looks.
struct Rate {
    at: Instant,
    rows: u64,
    per_second: f64,
}

impl Progress {
    pub(crate) fn new(flow: String, display: Display) -> Self {
        Self { flow, display, rate: Rate { at: Instant::now(), rows: 0, per_second: 0.0 } }
    }

    /// Shows the status until its sender is gone, and then the last one.
    pub(crate) async fn follow(mut self, mut status: watch::Receiver<FlowStatus>) {
        let period = match self.display {
            Display::Live(_) => LIVE_INTERVAL,
            Display::Json => JSON_INTERVAL,
            Display::Log => LOG_INTERVAL,
        };
        let mut interval = tokio::time::interval(period);
        interval.tick().await;
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                // Nobody changes it any more.
                () = gone(status.clone()) => break,
            }
            let now = status.borrow_and_update().clone();
            self.show(&now);
        }
        let last = status.borrow().clone();
        self.show(&last);
    }

    fn show(&mut self, status: &FlowStatus) {
        self.rate.look(status.rows);
        let lag_seconds = lag_seconds(status, SystemTime::now());
        match &self.display {
            Display::Live(screen) => screen.show(self.lines(status, lag_seconds)),
            Display::Json => self.event(status, lag_seconds),
            Display::Log => tracing::info!(
                flow = self.flow,
                phase = phase_name(status.phase),
                rows = status.rows,
                rows_per_second = self.rate.per_second.round(),
                lag_bytes = status.lag_bytes,
                lag_seconds,
                retained_bytes = status.retained_bytes,
                objects = objects(status),
                retries = status.retries,
                "status"
            ),
        }
    }

    fn event(&self, status: &FlowStatus, lag_seconds: f64) {
        let mut event = json!({"event": "status", "flow": self.flow});
        let fields = serde_json::to_value(status).unwrap_or_default();
        if let (Some(event), serde_json::Value::Object(fields)) = (event.as_object_mut(), fields) {
            event.extend(fields);
            event.insert("rows_per_second".into(), json!(self.rate.per_second.round()));
            event.insert("lag_seconds".into(), json!(lag_seconds));
        }
        let _ = output::json_line(&event);
    }

    fn lines(&self, status: &FlowStatus, lag_seconds: f64) -> Vec<String> {
        let style = |style: Style| style.for_stderr();
        let phase = match status.phase {
            Phase::Running | Phase::Stopped => style(Style::new().green()),
            Phase::Retrying => style(Style::new().yellow()),
            Phase::Failed => style(Style::new().red()),
            Phase::Starting | Phase::Stopping => style(Style::new().cyan()),
        };
        let retained = status.retained_bytes.map_or("unknown".to_owned(), bytes);
        let mut lines = vec![
            format!(
                "{} {}  {} rows, {} rows/s",
                style(Style::new().bold()).apply_to(&self.flow),
                phase.apply_to(phase_name(status.phase)),
                count(status.rows),
                count(self.rate.per_second as u64),
            ),
            format!(
                "  lag {} and {:.1} s, slot retains {retained} of WAL, {} retries",
                bytes(status.lag_bytes),
                lag_seconds,
                status.retries
            ),
        ];
        if let Some(error) = &status.error {
            lines.push(format!("  {}", style(Style::new().red()).apply_to(error)));
        }
        lines.extend(table_lines(status));
        for (name, destination) in &status.destinations {
            lines.push(format!(
                "  → {name}: {} rows durable, {} in {} objects",
                count(destination.records),
                bytes(destination.bytes),
                count(destination.objects)
            ));
        }
        lines
    }
}

impl Rate {
    fn look(&mut self, rows: u64) {
        let now = Instant::now();
        let seconds = now.duration_since(self.at).as_secs_f64();
        if seconds > 0.0 {
            self.per_second = rows.saturating_sub(self.rows) as f64 / seconds;
        }
        (self.at, self.rows) = (now, rows);
    }
}

async fn gone(mut status: watch::Receiver<FlowStatus>) {
    while status.changed().await.is_ok() {}
}

fn table_lines(status: &FlowStatus) -> Vec<String> {
    let mut tables: Vec<_> = status.tables.iter().collect();
    tables.sort_by_key(|(_, table)| std::cmp::Reverse(table.rows));
    let hidden = tables.len().saturating_sub(LIVE_TABLES);
    let width = tables.iter().take(LIVE_TABLES).map(|(name, _)| name.len()).max().unwrap_or_default();
    let shown = tables.iter().take(LIVE_TABLES);
    let mut lines: Vec<_> = shown
        .map(|(name, table)| format!("  {name:width$}  {:>13} rows  {:>10}", count(table.rows), bytes(table.bytes)))
        .collect();
    if hidden > 0 {
        lines.push(format!("  and {hidden} more tables"));
    }
    lines
}

fn objects(status: &FlowStatus) -> u64 {
    status.destinations.values().map(|destination| destination.objects).sum()
}

/// Age of the last durable transaction; zero when nothing newer is known of.
fn lag_seconds(status: &FlowStatus, now: SystemTime) -> f64 {
    let Some(commit_time) = status.commit_time.filter(|_| status.lag_bytes > 0) else { return 0.0 };
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as i64;
    now.saturating_sub(commit_time).max(0) as f64 / 1e6
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Retrying => "retrying",
        Phase::Stopping => "stopping",
        Phase::Stopped => "stopped",
        Phase::Failed => "failed",
    }
}

/// Groups of three digits: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits and a unit: `1.21 MiB`.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (number as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    match (unit, value) {
        (0, _) => format!("{number} B"),
        (_, 100.0..) => format!("{value:.0} {}", UNITS[unit]),
        (_, 10.0..) => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.2} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use ductstream_runner::TableStatus;

    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567].map(count).each_ref().map(String::as_str)
        );
        for (number, expected) in
            [(0, "0 B"), (999, "999 B"), (1000, "0.98 KiB"), (1536, "1.50 KiB"), (128 << 20, "128 MiB")]
        {
            assert_eq!(bytes(number), expected);
        }
    }

    #[test]
    fn lag_is_zero_when_everything_known_is_durable() {
        let now = UNIX_EPOCH + Duration::from_secs(10);
        let status = FlowStatus { commit_time: Some(7_500_000), lag_bytes: 1, ..FlowStatus::default() };
        assert_eq!(lag_seconds(&status, now), 2.5);
        assert_eq!(lag_seconds(&FlowStatus { lag_bytes: 0, ..status }, now), 0.0);
    }

    #[test]
    fn the_busiest_tables_are_shown_first_and_the_rest_counted() {
        let mut status = FlowStatus::default();
        for number in 0..12 {
            status.tables.insert(format!("public.t{number}"), TableStatus { rows: number, bytes: 0 });
        }
        let lines = table_lines(&status);
        assert_eq!(lines.len(), LIVE_TABLES + 1);
        assert!(lines[0].contains("public.t11"), "{lines:?}");
        assert_eq!(lines[LIVE_TABLES], "  and 2 more tables");
    }
}
