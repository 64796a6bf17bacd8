//! A network that fails on request: a TCP proxy on a stable port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    /// Bytes pass.
    Fair,
    /// Bytes wait, connections stay, as with a cable pulled out.
    Stalled,
    /// Connections are closed at once, as with a server that is down.
    Refusing,
}

/// Forwards TCP connections to one address, and stalls or cuts them when a test says so.
#[derive(Debug)]
pub struct TcpProxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    /// Grows with every cut: a connection of an older age is closed.
    age: watch::Sender<u64>,
    accepted: Arc<AtomicUsize>,
    listener: JoinHandle<()>,
}

impl TcpProxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (weather, fair) = watch::channel(Weather::Fair);
        let (age, ages) = watch::channel(0);
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&accepted);
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(forward(client, target, Signals::new(&fair, &ages)));
            }
        });
        Self { address, weather, age, accepted, listener }
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections it has accepted so far, refused ones included.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Closes every connection that is open now; new ones are welcome.
    pub fn cut(&self) {
        self.age.send_modify(|age| *age += 1);
    }

    /// Holds every byte back, in both directions, until [`TcpProxy::resume`].
    pub fn stall(&self) {
        self.weather.send_replace(Weather::Stalled);
    }

    /// Closes every connection and refuses new ones until [`TcpProxy::resume`].
    pub fn refuse(&self) {
        self.weather.send_replace(Weather::Refusing);
        self.cut();
    }

    /// Lets bytes and connections pass again.
    pub fn resume(&self) {
        self.weather.send_replace(Weather::Fair);
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.cut();
    }
}

#[derive(Debug, Clone)]
struct Signals {
    weather: watch::Receiver<Weather>,
    age: watch::Receiver<u64>,
    born: u64,
}

impl Signals {
    fn new(weather: &watch::Receiver<Weather>, age: &watch::Receiver<u64>) -> Self {
        let born = *age.borrow();
        Self { weather: weather.clone(), age: age.clone(), born }
    }

    /// Returns when the connection is to be closed.
    async fn cut(mut self) {
        let born = self.born;
        // The proxy's end closes it as well.
        drop(self.age.wait_for(|age| *age > born).await);
    }

    async fn fair(&mut self) {
        drop(self.weather.wait_for(|weather| *weather == Weather::Fair).await);
    }
}

async fn forward(client: TcpStream, target: SocketAddr, signals: Signals) {
    if *signals.weather.borrow() == Weather::Refusing {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else { return };
    // Nagle's algorithm would change the timing of what is tested.
    let (Ok(()), Ok(())) = (client.set_nodelay(true), server.set_nodelay(true)) else { return };
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    tokio::select! {
        () = signals.clone().cut() => {}
        () = async {
            tokio::join!(
                pump(client_read, server_write, signals.clone()),
                pump(server_read, client_write, signals.clone()),
            );
        } => {}
    }
}

/// Copies one direction to its end, and passes the end on.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut signals: Signals) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        signals.fair().await;
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    drop(to.shutdown().await);
}
