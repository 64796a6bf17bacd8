//! A running flow's status, for a terminal, a log or a program.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use console::Style;
use ductstream_runner::{FlowStatus, OutboxStatus, Phase};
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

/// What "now" means in rows per second.
const RATE_WINDOW: Duration = Duration::from_secs(2);

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

/// Rows per second over the last looks: batches come unevenly, and a number that jumps cannot be read.
struct Rate {
    looks: VecDeque<(Instant, u64)>,
    per_second: f64,
}

impl Progress {
    pub(crate) fn new(flow: String, display: Display) -> Self {
        Self { flow, display, rate: Rate::since(Instant::now()) }
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
        self.rate.look(Instant::now(), status.rows);
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
                spilled_bytes = status.spilled_bytes,
                objects = objects(status),
                queued_bytes = queued_bytes(status),
                refused = refused(status),
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
        if status.spilled_bytes > 0 {
            lines
                .push(format!("  holds {} of transactions in progress until they commit", bytes(status.spilled_bytes)));
        }
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
            if destination.refused > 0 {
                let refused = format!("    {} refused, and kept apart or skipped", count(destination.refused));
                lines.push(style(Style::new().yellow()).apply_to(refused).to_string());
            }
        }
        lines.extend(status.outboxes.iter().flat_map(|(name, outbox)| outbox_lines(name, outbox)));
        lines
    }
}

impl Rate {
    fn since(start: Instant) -> Self {
        Self { looks: VecDeque::from([(start, 0)]), per_second: 0.0 }
    }

    fn look(&mut self, now: Instant, rows: u64) {
        // The oldest look that is kept is the last one before the window.
        while self.looks.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= RATE_WINDOW) {
            self.looks.pop_front();
        }
        if let Some((at, before)) = self.looks.front() {
            let seconds = now.duration_since(*at).as_secs_f64();
            self.per_second = if seconds > 0.0 { rows.saturating_sub(*before) as f64 / seconds } else { 0.0 };
        }
        self.looks.push_back((now, rows));
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

fn outbox_lines(name: &str, outbox: &OutboxStatus) -> Vec<String> {
    let style = |style: Style| style.for_stderr();
    let waits = match outbox.is_full {
        true => format!("; {}", style(Style::new().yellow()).apply_to("the flow waits for the destination")),
        false => String::new(),
    };
    let held = format!("  outbox of {name}: {} of {}{waits}", bytes(outbox.bytes), bytes(outbox.budget_bytes));
    let error = outbox.error.as_ref().map(|error| format!("    {}", style(Style::new().red()).apply_to(error)));
    std::iter::once(held).chain(error).collect()
}

/// Bytes in all outboxes; `None` when the flow has none.
fn queued_bytes(status: &FlowStatus) -> Option<u64> {
    (!status.outboxes.is_empty()).then(|| status.outboxes.values().map(|outbox| outbox.bytes).sum())
}

fn objects(status: &FlowStatus) -> u64 {
    status.destinations.values().map(|destination| destination.objects).sum()
}

fn refused(status: &FlowStatus) -> u64 {
    status.destinations.values().map(|destination| destination.refused).sum()
}

/// Age of the oldest change that is not durable; zero when everything that was read is.
fn lag_seconds(status: &FlowStatus, now: SystemTime) -> f64 {
    let Some(commit_time) = status.oldest_pending else { return 0.0 };
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
    fn the_rate_is_that_of_the_last_two_seconds() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut rate = Rate::since(start);
        rate.look(at(500), 500);
        assert_eq!(rate.per_second, 1000.0);
        (1..=8).for_each(|look| rate.look(at(500 + look * 500), 500));
        assert_eq!(rate.per_second, 0.0, "what was long ago does not count");
        rate.look(at(5000), 2500);
        assert_eq!(rate.per_second, 1000.0, "one burst is spread over the window");
        rate.look(at(60_000), 2500);
        assert!(rate.per_second < 50.0, "looks that are far apart still give a rate");
    }

    #[test]
    fn lag_is_zero_when_everything_known_is_durable() {
        let now = UNIX_EPOCH + Duration::from_secs(10);
        let status = FlowStatus { oldest_pending: Some(7_500_000), ..FlowStatus::default() };
        assert_eq!(lag_seconds(&status, now), 2.5);
        assert_eq!(lag_seconds(&FlowStatus { oldest_pending: None, ..status }, now), 0.0);
    }

    #[test]
    fn an_outbox_is_shown_with_its_budget_its_error_and_that_the_flow_waits() {
        let mut status = FlowStatus::default();
        assert_eq!(queued_bytes(&status), None);
        let outbox = OutboxStatus { bytes: 3 << 20, budget_bytes: 16 << 30, ..OutboxStatus::default() };
        assert_eq!(outbox_lines("bus", &outbox), ["  outbox of bus: 3.00 MiB of 16.0 GiB"]);
        let full = OutboxStatus { is_full: true, error: Some("cannot reach kafka".into()), ..outbox.clone() };
        let lines = outbox_lines("bus", &full).join("\n");
        let lines = console::strip_ansi_codes(&lines);
        assert!(lines.contains("16.0 GiB; the flow waits") && lines.ends_with("    cannot reach kafka"), "{lines}");
        status.outboxes = [("a".to_owned(), outbox.clone()), ("b".to_owned(), outbox)].into();
        assert_eq!(queued_bytes(&status), Some(6 << 20));
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
