//! Processes that end with the one that started them, and directories that go with them.

use std::fs;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::{Account, Result, doing};

/// A start that takes longer has failed: crash recovery takes a second or two, a broker four.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(60);
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(15);
/// Ports below the range from which Linux and macOS take those of outgoing connections, so that a server that is
/// down for a moment finds its port free again.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// Starts the server, says its process id, waits for the pipe to close and stops it.
const WATCHDOG: &str = r#"
log=$1
signal=$2
shift 2
"$@" >>"$log" 2>&1 </dev/null &
server=$!
echo $server
read -r closed
kill -$signal $server 2>/dev/null
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

/// Starts a server as the account, in its directory and with its output in the directory's log. Returns the watchdog, and the server's
/// process id: the server gets `signal` and ends when the watchdog's pipe does.
pub(crate) fn spawn(account: &Account, directory: &Path, signal: &str, server: &Command) -> Result<(Child, u32)> {
    let mut command = watch(account, WATCHDOG, &log_path(directory));
    command.current_dir(directory).arg(signal).arg(server.get_program()).args(server.get_args());
    let mut watchdog = command.stdout(Stdio::piped()).spawn()?;
    let mut pid = String::new();
    if let Some(stdout) = watchdog.stdout.take() {
        BufReader::new(stdout).read_line(&mut pid)?;
    }
    match pid.trim().parse() {
        Ok(pid) => Ok((watchdog, pid)),
        Err(_) => Err(Error::other(format!("the watchdog said {pid:?} and not a process id"))),
    }
}

/// Removes the directory when the process ends, or the returned child's pipe is closed.
pub(crate) fn sweep(account: &Account, directory: &Path) -> Result<Child> {
    watch(account, SWEEPER, directory).spawn()
}

/// Where the server of a directory logs.
pub(crate) fn log_path(directory: &Path) -> PathBuf {
    directory.join("log")
}

/// Sends a signal, named without `SIG`.
pub(crate) fn send(pid: u32, signal: &str) -> Result<()> {
    run(Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]))
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
pub(crate) fn release(script: &mut Child) -> Result<()> {
    drop(script.stdin.take());
    script.wait().map(drop)
}

/// Whether a process exists and is not a zombie that waits for its watchdog.
pub(crate) fn runs(pid: u32) -> Result<bool> {
    if Path::new("/proc/self/stat").exists() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state follows the program's name, which is in parentheses.
        return Ok(stat.rsplit_once(')').is_some_and(|(_, state)| !state.trim_start().starts_with('Z')));
    }
    let output = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output()?;
    let state = String::from_utf8_lossy(&output.stdout);
    Ok(!state.trim().is_empty() && !state.trim().starts_with('Z'))
}

pub(crate) fn make_directory(account: &Account) -> Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ductstream-server-{}-{number}", std::process::id()));
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

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = doing(format!("running {:?}", command.get_program()), command.output())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!("{command:?} failed: {}", said.trim())))
}
