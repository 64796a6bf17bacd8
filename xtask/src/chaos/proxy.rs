//! A network that fails on request: a TCP proxy on threads.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Result;

/// Forwards connections to a port of this machine.
#[derive(Debug)]
pub(super) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    weather: Mutex<Weather>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Weather {
    stalled: bool,
    refusing: bool,
    ended: bool,
    open: Vec<TcpStream>,
}

impl Proxy {
    /// Listens on a free port and forwards to `target`.
    pub(super) fn start(target: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::<Shared>::default();
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.lock().ended {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A connection that cannot be made is closed by being dropped, which its client sees.
                thread::spawn(move || drop(forward(client, target, &shared)));
            }
        });
        Ok(Self { port, shared })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Closes every connection; new ones are welcome.
    pub(super) fn cut(&self) {
        for connection in self.shared.lock().open.drain(..) {
            // It may be closed already.
            drop(connection.shutdown(Shutdown::Both));
        }
    }

    /// Closes every connection, and each new one at once, or no longer.
    pub(super) fn refuse(&self, refusing: bool) {
        self.shared.change(|weather| weather.refusing = refusing);
        if refusing {
            self.cut();
        }
    }

    /// Holds every byte back, or no longer.
    pub(super) fn stall(&self, stalled: bool) {
        self.shared.change(|weather| weather.stalled = stalled);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.change(|weather| (weather.ended, weather.stalled) = (true, false));
        self.cut();
        // Wakes the listening thread, which then ends.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits while nothing may pass.
    fn wait(&self) {
        let mut weather = self.lock();
        while weather.stalled {
            weather = self.changed.wait(weather).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn forward(client: TcpStream, target: u16, shared: &Arc<Shared>) -> std::io::Result<()> {
    shared.wait();
    if shared.lock().refusing {
        return Ok(());
    }
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
    // Nagle's algorithm would change the timing of what is tested.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let back = (server.try_clone()?, client.try_clone()?);
    shared.lock().open.extend([client.try_clone()?, server.try_clone()?]);
    let shared_back = Arc::clone(shared);
    thread::spawn(move || pump(back.0, back.1, &shared_back));
    pump(client, server, shared);
    Ok(())
}

/// Copies one direction to its end, and passes the end on.
fn pump(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        shared.wait();
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Write));
    drop(from.shutdown(Shutdown::Read));
}
