//! A destination that followed, and decides now: what its outbox still holds comes first.

use std::sync::Arc;

use ductstream_core::{Checkpoint, Error, Result};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::drain::{Drainer, Failure};
use super::{Follower, Grown};
use crate::Runner;
use crate::deliver::{Reached, Report};
use crate::opening::{Origin, known};
use crate::settings::CHECKPOINT_INTERVAL;

/// Delivers what the outbox of the destination `name` holds, before the source begins: the source may not have it any more. Then
/// the checkpoint counts on the outbox no longer.
pub(crate) async fn catch_up(
    runner: &Runner,
    origin: &Arc<Origin>,
    name: &str,
    checkpoint: &mut Checkpoint,
) -> Result<()> {
    let owed = known(checkpoint, name)?;
    tracing::info!(
        flow = runner.settings.name,
        destination = name,
        from = %owed.position,
        to = %owed.held(),
        "delivering what the destination's outbox holds before the flow goes on"
    );
    let held = owed.held();
    let follower = Follower::open(&runner.settings, name, owed).await?;
    follower.show(runner);
    let (reports_tx, reports) = mpsc::unbounded_channel();
    // Nobody appends: the outbox is whole.
    let (_, grown) = watch::channel(Grown { synced: follower.synced, is_full: false });
    let mut drainer = Drainer::new(runner, origin.clone(), &follower, grown, reports_tx);
    drop(follower);
    let deliver = async move {
        // Dropped with the run's own attempt when it is told to stop.
        let never = CancellationToken::new();
        drainer.deliver(&never).await.map_err(Failure::into_error)
    };
    futures::try_join!(deliver, keep(runner, checkpoint, reports))?;
    let Some(known) = checkpoint.destinations.get_mut(name).filter(|known| known.position >= held) else {
        return Err(Error::bug(format!("destination {name}: its outbox was read and is not durable there")));
    };
    known.queued = None;
    runner.board.no_outbox(name);
    runner.store.store(&runner.settings.name, checkpoint).await
}

/// Stores what becomes durable on the way.
async fn keep(
    runner: &Runner,
    checkpoint: &mut Checkpoint,
    mut reports: mpsc::UnboundedReceiver<Report>,
) -> Result<()> {
    let mut stored_at = Instant::now();
    while let Some(report) = reports.recv().await {
        if let Reached::Durable(durable) = &report.reached {
            checkpoint.advance(&report.destination, durable);
        }
        if stored_at.elapsed() >= CHECKPOINT_INTERVAL {
            runner.store.store(&runner.settings.name, checkpoint).await?;
            stored_at = Instant::now();
        }
    }
    Ok(())
}
