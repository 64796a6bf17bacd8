//! Delivering dead letters to the destination that refused them.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use ductstream_core::{
    Ancestors, ChangeBatch, Destination, DestinationStart, Error, Position, Refusals, Refused, Result, Run,
    SourceIdentity,
};
use parking_lot::Mutex;

use super::{DeadLetter, Letters};
use crate::components::FlowComponents;

/// What became of a letter.
#[derive(Debug)]
pub enum Outcome {
    /// It was delivered, and is marked so.
    Replayed,
    /// The destination refused it again.
    Refused(String),
}

/// What is refused again.
#[derive(Debug, Default)]
struct Again(Mutex<BTreeMap<Position, String>>);

#[async_trait]
impl Refusals for Again {
    async fn refuse(&self, refused: &[Refused<'_>]) -> Result<()> {
        self.0.lock().extend(refused.iter().map(|it| (it.position(), it.error.report())));
        Ok(())
    }
}

/// Delivers letters of one destination, given in the order of their positions, and marks each when it is durable.
///
/// A crash between the two delivers a letter twice at the next call; its position tells. What came behind the records when they were refused was
/// delivered long ago.
///
/// # Errors
/// Whatever keeps the destination from being opened or written to. What was delivered before is marked.
pub async fn replay(
    components: &FlowComponents,
    destination: &str,
    letters: &Letters,
    chosen: &[DeadLetter],
) -> Result<Vec<Outcome>> {
    let again = Arc::new(Again::default());
    let mut target = components.replaying_to(destination, again.clone())?;
    let Some(first) = chosen.first() else { return Ok(Vec::new()) };
    target.open(&start(&first.flow, first.position)).await?;
    let mut outcomes = Vec::with_capacity(chosen.len());
    for letter in chosen {
        deliver(&mut *target, letter).await?;
        let refused = again.0.lock().remove(&letter.position);
        outcomes.push(match refused {
            Some(why) => Outcome::Refused(why),
            None => {
                letters.mark(letter).await?;
                Outcome::Replayed
            }
        });
    }
    Ok(outcomes)
}

/// Where the destination begins. It stores no position for what is replayed, so nothing compares this source with another.
fn start(flow: &str, position: Position) -> DestinationStart {
    let source =
        SourceIdentity { system_identifier: String::new(), timeline: 0, database: String::new(), slot: String::new() };
    DestinationStart { flow: flow.to_owned(), source, ancestors: Ancestors::default(), position, stored: None }
}

async fn deliver(target: &mut dyn Destination, letter: &DeadLetter) -> Result<()> {
    let chunk = letter.chunk()?;
    let end = letter.position.next();
    let batch =
        ChangeBatch { chunks: vec![chunk], runs: vec![Run { chunk: 0, rows: 1 }], end, ..ChangeBatch::default() };
    let at = |error: Error| error.context(format_args!("replaying {}", letter.id));
    target.write(Arc::new(batch)).await.map_err(at)?;
    let durable = target.flush().await.map_err(at)?;
    match durable.position() >= end {
        true => Ok(()),
        false => Err(Error::bug(format!("replaying {}: the destination made it durable only in part", letter.id))),
    }
}
