//! Messages as Kafka's own console consumer prints them, and changes that arrive while it looks on.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::topics::Topics;
use crate::postgres::Postgres;
use crate::workspace::say;

const TOPIC: &str = "public.customers";
/// What `stock.sql` puts into the table, and how much of that is shown.
const STOCK_MESSAGES: usize = 200;
const SHOWN_MESSAGES: usize = 2;
const PATIENCE: Duration = Duration::from_secs(60);

/// What is changed while the consumer looks on.
const CHANGES: [&str; 3] = [
    "insert into customers (email, name) values ('ada@example.com', 'Ada')",
    "update customers set name = 'Ada Lovelace' where email = 'ada@example.com'",
    "delete from customers where email = 'ada@example.com'",
];

/// Shows the first messages of a topic, then changes as they arrive.
pub(super) fn show(topics: &Topics, postgres: &Postgres, database: &str, out: &Path) -> Result<()> {
    say(format!("kafka-console-consumer --topic {TOPIC} --from-beginning --isolation-level read_committed"));
    let consumer = Consumer::start(topics.console_consumer(TOPIC), out)?;
    for number in 0..STOCK_MESSAGES {
        let message = consumer.next()?;
        if number < SHOWN_MESSAGES {
            print(&message);
        }
    }
    println!("    ... and {} more", STOCK_MESSAGES - SHOWN_MESSAGES);
    for sql in CHANGES {
        say(format!("psql -c \"{sql}\", and what the consumer prints:"));
        postgres.query(database, sql)?;
        print(&consumer.next()?);
    }
    Ok(())
}

/// Prints headers, key and value of a line of the console consumer.
fn print(line: &str) {
    for (part, name) in line.splitn(3, '\t').zip(["headers", "key", "value"]) {
        println!("    {name:<8} {part}");
    }
    println!();
}

/// A consumer that prints a line per message. It does not outlive this value.
struct Consumer {
    process: Child,
    lines: Receiver<String>,
    log: PathBuf,
}

impl Consumer {
    fn start(mut command: Command, out: &Path) -> Result<Self> {
        let log = out.join("consumer.log");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut process = command.spawn().context("starting Kafka's console consumer")?;
        let stdout = process.stdout.take().context("the consumer has no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // It ends with the consumer, or when nobody listens any more.
            BufReader::new(stdout).lines().map_while(|line| line.ok()).all(|line| sender.send(line).is_ok())
        });
        Ok(Self { process, lines, log })
    }

    fn next(&self) -> Result<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(line),
            Err(error) => bail!("Kafka's console consumer prints no message: {error}; see {}", self.log.display()),
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // It fails when the consumer has ended, which is what is wanted.
        drop(self.process.kill().and_then(|()| self.process.wait()));
    }
}
