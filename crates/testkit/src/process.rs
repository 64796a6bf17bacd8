//! The built binary as a child process, and waiting for conditions.

use std::ffi::OsStr;
use std::future::Future;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// How long a test waits for a condition before it fails: long enough for a loaded machine of two cores.
pub const PATIENCE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Waits until `condition` holds; panics with `what` after [`PATIENCE`].
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl FnMut() -> F) {
    eventually_within(PATIENCE, what, condition).await;
}

/// Waits until `condition` holds; panics with `what` after `patience`.
pub async fn eventually_within<F: Future<Output = bool>>(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    let deadline = Instant::now() + patience;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited {patience:?} in vain: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// A program that runs as a child, with its output captured line by line. It is killed when this value is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: u32,
    stdout: Lines,
    stderr: Lines,
}

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it said on standard error.
    pub stderr: String,
}

impl Finished {
    /// The exit code; `None` when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Itself, if the exit code is `code`; panics with the output otherwise.
    #[must_use]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{}\nstdout:\n{}\nstderr:\n{}", self.status, self.stdout, self.stderr);
        self
    }
}

impl Process {
    /// Starts `program`, such as `env!("CARGO_BIN_EXE_ductstream")`, with arguments and environment variables.
    pub fn start<A: AsRef<OsStr>>(
        program: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(program.as_ref());
        command.args(arguments).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("starting {}: {error}", program.as_ref().display()));
        let pid = child.id().expect("it has not been waited for");
        let stdout = Lines::read(child.stdout.take().expect("it is piped"));
        let stderr = Lines::read(child.stderr.take().expect("it is piped"));
        Self { child, pid, stdout, stderr }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The complete lines that it has printed so far.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lines.lock().clone()
    }

    /// The complete lines that it has said on standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.lines.lock().clone()
    }

    /// Waits for a line on standard output that satisfies `wanted`, from the first line on, and returns it.
    pub async fn wait_for_stdout(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_for(&self.stdout, wanted).await
    }

    /// Waits for a line on standard error that satisfies `wanted`, from the first line on, and returns it.
    pub async fn wait_for_stderr(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_for(&self.stderr, wanted).await
    }

    /// Sends a signal, named without `SIG`: `TERM`, `INT`, `STOP`, `CONT`.
    pub async fn signal(&self, name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid)]).status().await;
        assert!(kill.is_ok_and(|status| status.success()), "sending SIG{name} to {} failed", self.pid);
    }

    /// Kills it with SIGKILL and returns when it is gone.
    pub async fn kill(mut self) -> Finished {
        self.child.start_kill().expect("the child can be killed");
        self.wait().await
    }

    /// Waits for its end.
    pub async fn wait(mut self) -> Finished {
        let status = tokio::time::timeout(PATIENCE * 2, self.child.wait()).await;
        let Ok(status) = status else {
            panic!("it does not end; stderr so far:\n{}", self.stderr().join("\n"));
        };
        let status = status.expect("a child can be waited for");
        Finished { status, stdout: self.stdout.finish().await, stderr: self.stderr.finish().await }
    }

    async fn wait_for(&self, stream: &Lines, wanted: impl Fn(&str) -> bool) -> String {
        let found = tokio::time::timeout(PATIENCE, stream.find(wanted)).await;
        found.ok().flatten().unwrap_or_else(|| {
            panic!(
                "the line did not come; stdout:\n{}\nstderr:\n{}",
                self.stdout().join("\n"),
                self.stderr().join("\n")
            )
        })
    }
}

/// Runs a program to its end.
pub async fn run<A: AsRef<OsStr>>(
    program: impl AsRef<Path>,
    arguments: impl IntoIterator<Item = A>,
    environment: &[(&str, &str)],
) -> Finished {
    Process::start(program, arguments, environment).wait().await
}

/// A stream's lines as they come in.
#[derive(Debug)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
}

impl Lines {
    fn read(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (counter, count) = watch::channel(0);
        let kept = Arc::clone(&lines);
        tokio::spawn(async move {
            let mut reader = BufReader::new(stream).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                kept.lock().push(line);
                counter.send_modify(|count| *count += 1);
            }
        });
        Self { lines, count }
    }

    /// The first line that is wanted; `None` when the stream ends without one.
    async fn find(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let mut count = self.count.clone();
        loop {
            count.mark_unchanged();
            let found = self.lines.lock().iter().find(|line| wanted(line)).cloned();
            if found.is_some() {
                return found;
            }
            if count.changed().await.is_err() {
                return self.lines.lock().iter().find(|line| wanted(line)).cloned();
            }
        }
    }

    /// Everything, once the stream has ended.
    async fn finish(&self) -> String {
        let mut count = self.count.clone();
        while count.changed().await.is_ok() {}
        let mut text = self.lines.lock().join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }
}
