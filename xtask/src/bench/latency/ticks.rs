//! When each row was committed, and when it arrived.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

/// What a row holds: `tick:CC:NNNNNNN`, the writer and its count.
const START: &[u8] = b"tick:";
const LENGTH: usize = "tick:00:0000000".len();

/// One row: which of the writers wrote it, as the how manieth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    writer: u32,
    number: u32,
}

/// When a row was written, in microseconds by the machine's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Commit {
    pub(super) mark: Mark,
    /// When the statement was sent.
    pub(super) sent: i64,
    /// When the server had answered that it is committed.
    pub(super) answered: i64,
}

/// When rows arrived, in microseconds by the machine's clock.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    times: HashMap<Mark, i64>,
    /// What may be the beginning of a mark.
    rest: Vec<u8>,
}

/// Microseconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

impl Arrivals {
    /// Takes what was read at a moment.
    pub(super) fn add(&mut self, bytes: &[u8], moment: i64) {
        self.rest.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(at) = find(&self.rest[from..]) {
            let Some(mark) = self.rest.get(from + at..from + at + LENGTH) else { break };
            if let Some(mark) = Mark::parse(mark) {
                // What comes twice has arrived when it came first.
                self.times.entry(mark).or_insert(moment);
            }
            from += at + START.len();
        }
        let whole = self.rest.len().saturating_sub(LENGTH - 1).max(from);
        self.rest.drain(..whole.min(self.rest.len()));
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn of(&self, mark: Mark) -> Option<i64> {
        self.times.get(&mark).copied()
    }
}

impl Mark {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (writer, number) = std::str::from_utf8(&bytes[START.len()..]).ok()?.split_once(':')?;
        Some(Self { writer: writer.parse().ok()?, number: number.parse().ok()? })
    }
}

fn find(bytes: &[u8]) -> Option<usize> {
    bytes.windows(START.len()).position(|window| window == START)
}

/// What `pgbench --log` wrote into the files that begin with `prefix`, one for each of its threads.
pub(super) fn commits(prefix: &Path) -> Result<Vec<Commit>> {
    let directory = prefix.parent().context("a log lies in a directory")?;
    let name = prefix.file_name().unwrap_or_default().to_string_lossy();
    let mut written = HashMap::new();
    let mut commits = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|it| it.to_string_lossy().starts_with(&*name)) {
            let log = fs::read_to_string(&path)?;
            let parse = |line: &str| commit(line, &mut written).with_context(|| format!("pgbench logged {line:?}"));
            commits.extend(log.lines().map(parse).collect::<Result<Vec<_>>>()?);
        }
    }
    ensure!(!commits.is_empty(), "pgbench committed nothing");
    Ok(commits)
}

/// A line: `client transaction time script epoch_seconds microseconds lag`, where time counts from when a transaction was
/// due, and lag is by how much it started later.
fn commit(line: &str, written: &mut HashMap<u32, u32>) -> Result<Commit> {
    let fields: Vec<i64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    ensure!(fields.len() >= 7, "seven fields are expected");
    let writer = u32::try_from(fields[0])?;
    let number = written.entry(writer).or_default();
    *number += 1;
    let answered = fields[4] * 1_000_000 + fields[5];
    Ok(Commit { mark: Mark { writer, number: *number }, sent: answered - (fields[2] - fields[6]), answered })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_is_split_over_reads_arrives_with_its_last_byte() {
        let mut arrivals = Arrivals::default();
        arrivals.add(b"{\"mark\":\"tick:01:0000007\"}\n{\"mark\":\"tick:02:00", 10);
        arrivals.add(b"00003\"}\n", 20);
        let mark = |writer, number| Mark { writer, number };
        assert_eq!(arrivals.of(mark(1, 7)), Some(10));
        assert_eq!(arrivals.of(mark(2, 3)), Some(20));
        assert_eq!(arrivals.len(), 2);
    }

    #[test]
    fn a_statement_is_sent_when_its_transaction_was_due_and_had_waited() -> Result<()> {
        let mut written = HashMap::from([(3, 41)]);
        let commit = commit("3 9 1500 0 1700000000 250000 300", &mut written)?;
        assert_eq!(commit.mark, Mark { writer: 3, number: 42 });
        assert_eq!(commit.answered, 1_700_000_000_250_000);
        assert_eq!(commit.answered - commit.sent, 1200);
        Ok(())
    }
}
