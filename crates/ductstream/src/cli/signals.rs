//! SIGINT and SIGTERM: the first asks to stop, the second leaves.

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
    tokio::spawn(listen(interrupt, terminate, stop.clone(), screen.clone(), first));
    Ok(stop)
}

async fn listen(
    mut interrupt: Signal,
    mut terminate: Signal,
    stop: CancellationToken,
    screen: Screen,
    first: &'static str,
) {
    loop {
        let code = tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        };
        if stop.is_cancelled() {
            screen.clear();
            std::process::exit(code);
        }
        screen.message(first);
        stop.cancel();
    }
}
