//! One Kafka broker: formatted, started, killed, started again, removed.

use std::fs;
use std::io::{Error, ErrorKind};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;

use crate::account::in_path;
use crate::binaries::servers_directory;
use crate::process::{
    POLL_INTERVAL, START_TIMEOUT, free_port, log_path, make_directory, release, run, runs, send, spawn, sweep,
};
use crate::{Account, Result, doing};

/// A small heap and the quickest start: the broker of a test lives for seconds.
const JAVA_OPTIONS: [&str; 3] = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// What Kafka's own start script gives a broker, with as small a heap.
const LONG_LIVED_JAVA_OPTIONS: [&str; 4] = ["-Xmx512m", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"];

/// Every internal topic with the one replica that there can be.
const SETTINGS: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("inter.broker.listener.name", "PLAINTEXT"),
    ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL"),
    ("auto.create.topics.enable", "false"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "3"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "3"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
];

/// What a broker is made of.
#[derive(Debug, Clone, Default)]
pub struct BrokerOptions {
    /// Lines of `server.properties`, which win over those that every broker has.
    pub settings: Vec<(String, String)>,
    /// Users of SASL/SCRAM: mechanism, name, password.
    pub scram_users: Vec<(String, String, String)>,
    /// Whether there is a second listener, `SASL_SSL`; its keys and mechanisms are `settings`.
    pub is_secured: bool,
    /// Whether the broker is to be as fast as brokers are, rather than start quickly: Java then compiles as it does by default.
    pub is_long_lived: bool,
}

/// An Apache Kafka broker in a directory of its own: one process, which is its own controller.
///
/// Dropping it stops it and removes the directory; so does the end of this process, even by SIGKILL.
#[derive(Debug)]
pub struct Broker {
    jars: PathBuf,
    directory: PathBuf,
    port: u16,
    secured_port: Option<u16>,
    is_long_lived: bool,
    /// Runs from each start of the broker to its stop.
    watchdog: Option<Child>,
    /// Runs from before the directory's first file until it is removed.
    sweeper: Child,
    pid: Option<u32>,
}

impl Broker {
    /// Formats a log directory and starts the broker that `cargo xtask servers` fetched.
    ///
    /// # Errors
    /// When it has not been fetched, there is no Java, or the broker does not come up; the message ends with its log.
    pub fn create(options: &BrokerOptions) -> Result<Self> {
        let jars = fetched()?;
        let account = Account::own();
        let directory = make_directory(&account)?;
        let sweeper = sweep(&account, &directory)?;
        let secured_port = if options.is_secured { Some(free_port()?) } else { None };
        let (port, is_long_lived) = (free_port()?, options.is_long_lived);
        let mut broker =
            Self { jars, directory, port, secured_port, is_long_lived, watchdog: None, sweeper, pid: None };
        broker.format(options)?;
        broker.start()?;
        Ok(broker)
    }

    /// The address of the listener without TLS and passwords, the same over all restarts: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address of the listener with TLS and passwords, if there is one.
    pub fn secured_address(&self) -> Option<String> {
        self.secured_port.map(|port| format!("127.0.0.1:{port}"))
    }

    /// Where the partitions' logs are, a directory each.
    pub fn data_directory(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// What the broker has logged so far.
    pub fn log(&self) -> String {
        fs::read(log_path(&self.directory)).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Starts the broker, on the ports it had before, and returns when it accepts connections.
    ///
    /// # Errors
    /// When it does not come up; the message ends with its log.
    pub fn start(&mut self) -> Result<()> {
        if self.watchdog.is_some() {
            return Ok(());
        }
        let logged = self.log().len();
        let options: &[&str] = if self.is_long_lived { &LONG_LIVED_JAVA_OPTIONS } else { &JAVA_OPTIONS };
        let mut java = self.java_with(options, "kafka.Kafka");
        java.arg(self.properties());
        let (mut watchdog, pid) = doing("starting Kafka", spawn(&Account::own(), &self.directory, "KILL", &java))?;
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if !runs(pid)? || Instant::now() > deadline {
                release(&mut watchdog)?;
                let log = self.log().split_off(logged);
                return Err(Error::other(format!("Kafka on port {} did not start:\n{log}", self.port)));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        (self.watchdog, self.pid) = (Some(watchdog), Some(pid));
        Ok(())
    }

    /// Kills the broker as a crash would: SIGKILL, nothing is flushed or said. The log directory stays for the next start.
    ///
    /// # Errors
    /// When the watchdog cannot be told.
    pub fn kill(&mut self) -> Result<()> {
        self.pid = None;
        match self.watchdog.take() {
            Some(mut watchdog) => release(&mut watchdog),
            None => Ok(()),
        }
    }

    /// Sends a signal, named without `SIG`, to the broker: `STOP` and `CONT` make it a broker that does not answer for a while.
    ///
    /// # Errors
    /// When the broker does not run.
    pub fn signal(&self, signal: &str) -> Result<()> {
        let pid = self.pid.ok_or_else(|| Error::new(ErrorKind::NotFound, "the broker does not run"))?;
        send(pid, signal)
    }

    /// A command that runs one of Kafka's own programs, by the name of its class.
    pub fn java(&self, class: &str) -> Command {
        self.java_with(&JAVA_OPTIONS, class)
    }

    fn java_with(&self, options: &[&str], class: &str) -> Command {
        let mut java = Command::new("java");
        java.args(options).arg("-cp").arg(self.jars.join("*")).arg(class);
        java
    }

    fn format(&self, options: &BrokerOptions) -> Result<()> {
        let controller = free_port()?;
        let properties: String =
            self.settings(controller, options).iter().map(|(name, value)| property(name, value)).collect();
        doing(self.properties().display(), fs::write(self.properties(), properties))?;
        let mut format = self.java("kafka.tools.StorageTool");
        // Any identifier of a cluster does: it is base64 of sixteen bytes.
        format.args(["format", "--standalone", "-t", "ZHVjdHN0cmVhbS10ZXN0cw", "-c"]).arg(self.properties());
        for (mechanism, name, password) in &options.scram_users {
            format.arg("--add-scram").arg(format!("{mechanism}=[name={name},password={password}]"));
        }
        run(&mut format)
    }

    fn settings(&self, controller: u16, options: &BrokerOptions) -> Vec<(String, String)> {
        let mut listeners = format!("PLAINTEXT://{}", self.address());
        if let Some(address) = self.secured_address() {
            listeners.push_str(&format!(",SASL_SSL://{address}"));
        }
        let mut settings: Vec<_> = SETTINGS.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let mut set = |name: &str, value: String| settings.push((name.to_owned(), value));
        set("listeners", format!("{listeners},CONTROLLER://127.0.0.1:{controller}"));
        set("advertised.listeners", listeners);
        set("controller.quorum.bootstrap.servers", format!("127.0.0.1:{controller}"));
        set("log.dirs", self.data_directory().display().to_string());
        settings.extend(options.settings.iter().cloned());
        settings
    }

    fn properties(&self) -> PathBuf {
        self.directory.join("server.properties")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Nothing depends on either: the directory is in the system's temporary directory.
        drop(self.kill());
        drop(release(&mut self.sweeper));
    }
}

/// The directory of the jars that `cargo xtask servers` fetched.
fn fetched() -> Result<PathBuf> {
    let jars = servers_directory().join("kafka/libs");
    if !jars.is_dir() {
        let message = format!("Kafka is not in {}: run `cargo xtask servers`", jars.display());
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    if in_path("java").is_none() {
        return Err(Error::new(ErrorKind::NotFound, "there is no java, version 17 or later, in PATH: install it"));
    }
    canonical(&jars)
}

fn canonical(path: &Path) -> Result<PathBuf> {
    doing(path.display(), path.canonicalize())
}

/// A line of a properties file.
fn property(name: &str, value: &str) -> String {
    format!("{name}={}\n", value.replace('\\', "\\\\").replace('\n', "\\n"))
}
