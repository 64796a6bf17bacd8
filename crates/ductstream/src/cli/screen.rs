//! Standard error: messages, log lines, and a block of live status below them.

use std::io::Write;
use std::sync::Arc;

use console::{Style, Term};
use ductstream_core::Error;
use parking_lot::Mutex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::{Global, LogFormat};

/// Keeps the live block apart from everything else that is written to standard error.
#[derive(Clone)]
pub(crate) struct Screen(Arc<Mutex<Block>>);

struct Block {
    terminal: Term,
    lines: Vec<String>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Block { terminal: Term::stderr(), lines: Vec::new() })))
    }

    /// Whether people look on.
    pub(crate) fn is_terminal(&self) -> bool {
        self.0.lock().terminal.is_term()
    }

    /// Shows `lines` as the live block, in place of the last.
    pub(crate) fn show(&self, lines: Vec<String>) {
        let mut block = self.0.lock();
        let (_, width) = block.terminal.size();
        block.erase();
        // A line that wraps could not be erased.
        let fit = |line: String| console::truncate_str(&line, usize::from(width).max(20) - 1, "…").into_owned();
        block.lines = lines.into_iter().map(fit).collect();
        block.draw();
    }

    /// Leaves the last live block as it stands, or nothing.
    pub(crate) fn leave(&self) {
        self.0.lock().lines.clear();
    }

    /// Removes the live block.
    pub(crate) fn clear(&self) {
        let mut block = self.0.lock();
        block.erase();
        block.lines.clear();
    }

    /// Writes a line above the live block.
    pub(crate) fn message(&self, text: &str) {
        self.write(format!("{text}\n").as_bytes());
    }

    /// Reports the error that ends the command.
    pub(crate) fn error(&self, error: &Error) {
        let label = Style::new().for_stderr().red().bold().apply_to("error:");
        self.message(&format!("{label} {}", error.report()));
    }

    fn write(&self, bytes: &[u8]) {
        let block = self.0.lock();
        block.erase();
        // Where messages cannot be written, there is nobody to tell.
        let _ = (&block.terminal).write_all(bytes);
        block.draw();
    }

    /// Sends log lines here. `quiet` is for commands that show what happens in another way.
    pub(crate) fn start_log(&self, global: &Global, quiet: bool) {
        let level = match (global.verbose, quiet) {
            (0, true) => "warn",
            (0, false) | (1, _) => "info",
            (2, _) => "debug",
            _ => "trace",
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
            EnvFilter::new(format!("warn,ductstream={level},ductstream_control={level},ductstream_object_store={level},ductstream_postgres={level},ductstream_runner={level}"))
        });
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(self.clone());
        // The first wins: a test may start several commands in one process.
        let _ = match global.log_format {
            LogFormat::Text => log.with_target(false).with_ansi(console::colors_enabled_stderr()).try_init(),
            LogFormat::Json => log.json().flatten_event(true).try_init(),
        };
    }
}

impl Block {
    fn erase(&self) {
        if !self.lines.is_empty() {
            let _ = self.terminal.clear_last_lines(self.lines.len());
        }
    }

    fn draw(&self) {
        for line in &self.lines {
            let _ = self.terminal.write_line(line);
        }
    }
}

/// Collects one log line, and writes it whole.
pub(crate) struct LogLine {
    screen: Screen,
    bytes: Vec<u8>,
}

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        self.screen.write(&self.bytes);
    }
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine { screen: self.clone(), bytes: Vec::new() }
    }
}
