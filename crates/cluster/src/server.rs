//! One server: initialised, started, killed, started again, removed.

mod standby;

use std::fs;
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;

use crate::process::{POLL_INTERVAL, START_TIMEOUT, free_port, make_directory, release, run, runs, send, spawn, sweep};
use crate::{Account, Binaries, Result, doing};

/// What a server is made of.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// PostgreSQL's programs.
    pub binaries: Binaries,
    /// Lines of `postgresql.conf`: names and values, quoted here.
    pub settings: Vec<(String, String)>,
    /// Lines of `pg_hba.conf`. Empty: everyone is trusted, over the unix socket and the loopback addresses.
    pub hba: Vec<String>,
    /// Files to put into the data directory, such as certificates, readable by the server's account alone.
    pub files: Vec<(String, Vec<u8>)>,
}

/// A PostgreSQL server in a directory of its own, with the superuser `postgres`.
///
/// Dropping it stops it and removes the directory; so does the end of this process, even by SIGKILL.
#[derive(Debug)]
pub struct Server {
    account: Account,
    binaries: Binaries,
    directory: PathBuf,
    port: u16,
    /// Runs from each start of the server to its stop.
    watchdog: Option<Child>,
    /// Runs from before the directory's first file until it is removed.
    sweeper: Child,
    pid: Option<u32>,
}

impl Server {
    /// Initialises a cluster and starts its server.
    ///
    /// # Errors
    /// When the programs cannot be run, or the server does not come up; the message ends with its log.
    pub fn create(options: ServerOptions) -> Result<Self> {
        let account = Account::find()?;
        let binaries = options.binaries.reachable(&account)?;
        let directory = make_directory(&account)?;
        let sweeper = sweep(&account, &directory)?;
        let port = free_port()?;
        let mut server = Self { account, binaries, directory, port, watchdog: None, sweeper, pid: None };
        server.initialise(&options)?;
        server.start()?;
        Ok(server)
    }

    /// The TCP port, the same over all restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the unix socket.
    pub fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// The data directory.
    pub fn data_directory(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The postmaster's process id, while the server runs.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// A command that runs a program as the account that owns the server.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = self.account.command(program);
        command.current_dir(&self.directory);
        command
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        fs::read(self.log_path()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Appends a setting to `postgresql.conf`; it holds from the next start, or reload, on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        append(&self.data_directory().join("postgresql.conf"), &setting(name, value))
    }

    /// Starts the server, on the port it had before, and returns when it accepts connections.
    ///
    /// # Errors
    /// When it does not come up; the message ends with its log.
    pub fn start(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while self.watchdog.is_none() {
            let logged = self.log().len();
            let (mut watchdog, pid) = self.spawn()?;
            if self.wait_until_ready(pid, deadline)? {
                (self.watchdog, self.pid) = (Some(watchdog), Some(pid));
                return Ok(());
            }
            release(&mut watchdog)?;
            // After a kill the backends take a moment to notice, and hold the shared memory until then.
            let log = self.log().split_off(logged);
            if !log.contains("shared memory block") || Instant::now() > deadline {
                return Err(Error::other(format!("PostgreSQL on port {} did not start:\n{log}", self.port)));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Stops the server at once, as `pg_ctl stop -m immediate` does: the next start recovers from the WAL.
    ///
    /// # Errors
    /// When the watchdog cannot be told.
    pub fn stop(&mut self) -> Result<()> {
        self.pid = None;
        match self.watchdog.take() {
            Some(mut watchdog) => release(&mut watchdog),
            None => Ok(()),
        }
    }

    /// Shuts the server down in order, as a package upgrade does: clients are disconnected, walsenders get everything.
    ///
    /// # Errors
    /// When it does not end in time, which happens while a client of a slot does not confirm.
    pub fn shut_down(&mut self) -> Result<()> {
        self.signal("INT")?;
        let deadline = Instant::now() + START_TIMEOUT;
        while self.data_directory().join("postmaster.pid").exists() {
            if Instant::now() > deadline {
                return Err(Error::new(ErrorKind::TimedOut, "PostgreSQL does not shut down: a client holds it"));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        self.stop()
    }

    /// Kills the server as a crash of the machine would: SIGKILL, nothing is flushed or said.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill(&mut self) -> Result<()> {
        self.signal("KILL")?;
        self.stop()
    }

    /// Sends a signal, named without `SIG`, to the postmaster.
    ///
    /// # Errors
    /// When the server does not run.
    pub fn signal(&self, signal: &str) -> Result<()> {
        let pid = self.pid.ok_or_else(|| Error::new(ErrorKind::NotFound, "the server does not run"))?;
        send(pid, signal)
    }

    fn initialise(&self, options: &ServerOptions) -> Result<()> {
        let data = self.data_directory();
        let mut initdb = self.command(&self.binaries.program("initdb"));
        initdb.args(["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]).arg(&data);
        run(&mut initdb)?;
        let settings: String = options.settings.iter().map(|(name, value)| setting(name, value)).collect();
        append(&data.join("postgresql.conf"), &settings)?;
        if !options.hba.is_empty() {
            fs::write(data.join("pg_hba.conf"), options.hba.join("\n") + "\n")?;
        }
        for (name, content) in &options.files {
            let path = data.join(name);
            doing(path.display(), fs::write(&path, content))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            self.account.give(&path)?;
        }
        Ok(())
    }

    fn spawn(&self) -> Result<(Child, u32)> {
        let mut command = Command::new(self.binaries.program("postgres"));
        command.arg("-D").arg(self.data_directory()).args(["-p", &self.port.to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-k"]).arg(&self.directory);
        doing("starting PostgreSQL", spawn(&self.account, &self.directory, "QUIT", &command))
    }

    /// Whether the server came up; false when it ended instead.
    fn wait_until_ready(&self, pid: u32, deadline: Instant) -> Result<bool> {
        loop {
            // As pg_ctl does: the eighth line of the file says what the postmaster of the first line is up to.
            let file = fs::read_to_string(self.data_directory().join("postmaster.pid")).unwrap_or_default();
            let mut lines = file.lines().map(str::trim);
            if lines.next() == Some(&pid.to_string()) && lines.nth(6) == Some("ready") {
                return Ok(true);
            }
            if !runs(pid)? || Instant::now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    fn log_path(&self) -> PathBuf {
        crate::process::log_path(&self.directory)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing depends on either: the directory is in the system's temporary directory.
        drop(self.stop());
        drop(release(&mut self.sweeper));
    }
}

fn setting(name: &str, value: &str) -> String {
    format!("{name} = '{}'\n", value.replace('\'', "''"))
}

fn append(path: &Path, text: &str) -> Result<()> {
    let mut file = doing(path.display(), fs::OpenOptions::new().append(true).open(path))?;
    file.write_all(text.as_bytes())
}
