//! A schema registry that is not ours: Apicurio Registry, in memory.

use std::fs;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::account::in_path;
use crate::process::free_port;
use crate::{Result, doing, servers_directory};

/// A Java machine on two busy cores takes its time.
const START_TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Confluent's API of an Apicurio registry.
const API: &str = "/apis/ccompat/v7";

/// Starts the registry, says its process id, waits for the pipe to close, ends it and removes its directory.
const WATCHDOG: &str = r#"
directory=$1
shift
cd "$directory" || exit
"$@" >log 2>&1 </dev/null &
registry=$!
echo $registry
read -r closed
kill -KILL $registry 2>/dev/null
wait $registry 2>/dev/null
cd /
rm -rf "$directory"
"#;

/// A schema registry in a process of its own, empty, without authentication; its default compatibility is `NONE`.
///
/// Dropping it ends it; so does the end of this process, even by SIGKILL.
#[derive(Debug)]
pub struct RegistryServer {
    directory: PathBuf,
    port: u16,
    watchdog: Child,
}

impl RegistryServer {
    /// Starts the registry that `cargo xtask servers` fetched, and returns when it answers.
    ///
    /// # Errors
    /// When it has not been fetched, there is no Java, or it does not come up; the message has the remedy or its log.
    pub fn start() -> Result<Self> {
        let jar = fetched()?;
        let Some(java) = in_path("java") else {
            return Err(Error::new(ErrorKind::NotFound, "java is not installed: install a Java runtime, 17 or newer"));
        };
        let (directory, port) = (make_directory()?, free_port()?);
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(&directory)
            .arg(java)
            .args(["-Xmx512m", "-XX:TieredStopAtLevel=1"]);
        command.args(["-Dquarkus.http.host=127.0.0.1".to_owned(), format!("-Dquarkus.http.port={port}")]);
        command.arg(format!("-Djava.io.tmpdir={}", directory.display())).arg("-jar").arg(jar);
        // A group of its own: Ctrl-C in a terminal is for the process that uses the registry.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = Self { directory, port, watchdog: doing("starting the schema registry", command.spawn())? };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The root of Confluent's API.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{API}", self.port)
    }

    /// What the registry has logged so far.
    pub fn log(&self) -> String {
        fs::read(self.directory.join("log")).map(|it| String::from_utf8_lossy(&it).into_owned()).unwrap_or_default()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        let pid = self.process_id()?;
        while !self.answers() {
            let runs = Command::new("kill").args(["-0", &pid]).stderr(Stdio::null()).status()?.success();
            if !runs || Instant::now() > deadline {
                return Err(Error::other(format!("the schema registry did not start:\n{}", self.log())));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    fn process_id(&mut self) -> Result<String> {
        let mut line = String::new();
        if let Some(stdout) = self.watchdog.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        Ok(line.trim().to_owned())
    }

    fn answers(&self) -> bool {
        let ask = || -> Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(START_TIMEOUT))?;
            let request = format!("GET {API}/subjects HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        // Nothing depends on how it ended: the directory is in the system's temporary directory.
        drop(self.watchdog.wait());
    }
}

/// The program that `cargo xtask servers` fetched; its libraries lie beside it.
fn fetched() -> Result<PathBuf> {
    let directory = servers_directory().join("registry");
    let jar = |path: &Path| path.to_string_lossy().ends_with("-runner.jar");
    let entries = fs::read_dir(&directory).into_iter().flatten();
    let found = entries.filter_map(|entry| Some(entry.ok()?.path())).find(|path| jar(path));
    let missing = || format!("there is no schema registry in {}: run `cargo xtask servers`", directory.display());
    found.ok_or_else(|| Error::new(ErrorKind::NotFound, missing()))?.canonicalize()
}

fn make_directory() -> Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ductstream-registry-{}-{number}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return doing(path.display(), Err(error)),
        }
    }
}
