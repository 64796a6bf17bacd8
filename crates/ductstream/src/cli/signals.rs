//! SIGINT, SIGTERM and SIGHUP: the first asks to stop, the second leaves.

use ductstream_core::{Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::screen::Screen;

/// A token that the first signal cancels. A second one ends the process at once, as a crash would: harmless, and what was not
/// stored is read again.
pub(crate) fn stop_on_signal(screen: &Screen, first: &'static str) -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let failed = |error| Error::bug("cannot listen for signals").with_source(error);
    let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    tokio::spawn(listen([(interrupt, 130), (terminate, 143), (hang_up, 129)], stop.clone(), screen.clone(), first));
    Ok(stop)
}

async fn listen(signals: [(Signal, i32); 3], stop: CancellationToken, screen: Screen, first: &'static str) {
    let [(mut interrupt, interrupted), (mut terminate, terminated), (mut hang_up, hung_up)] = signals;
    loop {
        let code = tokio::select! {
            _ = interrupt.recv() => interrupted,
            _ = terminate.recv() => terminated,
            _ = hang_up.recv() => hung_up,
        };
        if stop.is_cancelled() {
            screen.clear();
            std::process::exit(code);
        }
        screen.message(first);
        stop.cancel();
    }
}
