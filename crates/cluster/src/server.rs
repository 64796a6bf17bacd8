//! One server: initialised, started, killed, started again, removed.

mod standby;

use std::fs;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::{Account, Binaries, Result, doing};

/// A start that takes longer has failed: crash recovery of a test's cluster takes a second or two.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(15);
/// Ports below the range from which Linux and macOS take those of outgoing connections, so that a server that is
/// down for a moment finds its port free again.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// Starts the server, says its process id, waits for the pipe to close and stops it.
const WATCHDOG: &str = r#"
log=$1
shift
"$@" >>"$log" 2>&1 </dev/null &
server=$!
echo $server
read -r closed
kill -QUIT $server 2>/dev/null
wait $server 2>/dev/null
"#;

/// Waits for the pipe to close and removes the directory, which takes several attempts while a server still writes.
const SWEEPER: &str = r#"
read -r closed
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$1" 2>/dev/null && exit
    sleep 0.2
done
"#;

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
        let sweeper = watch(&account, SWEEPER, &directory).spawn()?;
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
        run(Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]))
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
        let mut command = watch(&self.account, WATCHDOG, &self.log_path());
        command
            .current_dir(&self.directory)
            .arg(self.binaries.program("postgres"))
            .arg("-D")
            .arg(self.data_directory());
        command.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-k"]).arg(&self.directory);
        let mut watchdog = doing("starting PostgreSQL", command.stdout(Stdio::piped()).spawn())?;
        let mut pid = String::new();
        if let Some(stdout) = watchdog.stdout.take() {
            BufReader::new(stdout).read_line(&mut pid)?;
        }
        match pid.trim().parse() {
            Ok(pid) => Ok((watchdog, pid)),
            Err(_) => Err(Error::other(format!("PostgreSQL's watchdog said {pid:?} and not a process id"))),
        }
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
        self.directory.join("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing depends on either: the directory is in the system's temporary directory.
        drop(self.stop());
        drop(release(&mut self.sweeper));
    }
}

/// A shell script as the account, with a pipe to this process and one argument.
fn watch(account: &Account, script: &str, argument: &Path) -> Command {
    let mut command = account.command("/bin/sh");
    command.args(["-c", script, "watchdog"]).arg(argument).current_dir("/");
    // A group of its own: Ctrl-C in a terminal is for the process that uses the server.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
    command
}

/// Closes a script's pipe and waits until it has done its part.
fn release(script: &mut Child) -> Result<()> {
    drop(script.stdin.take());
    script.wait().map(drop)
}

/// Whether a process exists and is not a zombie that waits for its watchdog.
fn runs(pid: u32) -> Result<bool> {
    if Path::new("/proc/self/stat").exists() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state follows the program's name, which is in parentheses.
        return Ok(stat.rsplit_once(')').is_some_and(|(_, state)| !state.trim_start().starts_with('Z')));
    }
    let output = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output()?;
    let state = String::from_utf8_lossy(&output.stdout);
    Ok(!state.trim().is_empty() && !state.trim().starts_with('Z'))
}

fn make_directory(account: &Account) -> Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ductstream-pg-{}-{number}", std::process::id()));
        match fs::create_dir(&path) {
            // Clients of any account reach the socket; the data directory inside is closed by initdb.
            Ok(()) => fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return doing(path.display(), Err(error)),
        }
        account.give(&path)?;
        return Ok(path);
    }
}

pub(crate) fn free_port() -> Result<u16> {
    let mut seed = [0; 2];
    fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let start = u16::from_ne_bytes(seed) % PORTS.len() as u16;
    (0..PORTS.len() as u16)
        .map(|offset| PORTS.start + (start + offset) % PORTS.len() as u16)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| Error::new(ErrorKind::AddrInUse, "no free TCP port"))
}

fn setting(name: &str, value: &str) -> String {
    format!("{name} = '{}'\n", value.replace('\'', "''"))
}

fn append(path: &Path, text: &str) -> Result<()> {
    let mut file = doing(path.display(), fs::OpenOptions::new().append(true).open(path))?;
    file.write_all(text.as_bytes())
}

fn run(command: &mut Command) -> Result<()> {
    let output = doing(format!("running {:?}", command.get_program()), command.output())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!("{command:?} failed: {}", said.trim())))
}
