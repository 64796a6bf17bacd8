//! What a child process costs.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Wall time, CPU time and peak memory of one process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// From start to end.
    pub(super) wall: Duration,
    /// In user and kernel mode, of all threads.
    pub(super) cpu: Duration,
    /// The largest resident set.
    pub(super) peak_rss_bytes: u64,
}

/// A child that does not outlive this process, nor a failure of what is measured.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    program: String,
    started: Instant,
    ended: bool,
}

/// Runs a command to its successful end.
pub(super) fn measure(command: &mut Command) -> Result<Cost> {
    Running::start(command)?.wait()
}

impl Running {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        end_with_this_process(command);
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("starting {program}"))?;
        Ok(Self { child, program, started, ended: false })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn stdout(&mut self) -> Result<std::process::ChildStdout> {
        self.child.stdout.take().context("the child's output goes elsewhere")
    }

    /// Fails when it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            self.ended = true;
            bail!("{} ended early: {status}", self.program);
        }
        Ok(())
    }

    /// Asks it to end, as Ctrl-C does, and waits until it has, successfully.
    pub(super) fn stop(self) -> Result<Cost> {
        let kill = format!("kill -INT {}", self.id());
        crate::workspace::capture(Command::new("sh").args(["-c", &kill]))?;
        self.wait()
    }

    /// Waits for its successful end.
    pub(super) fn wait(mut self) -> Result<Cost> {
        let (status, usage) = wait(self.id())?;
        self.ended = true;
        let wall = self.started.elapsed();
        if status != 0 {
            bail!("{} ended with wait status {status:#x}", self.program);
        }
        // Linux counts kilobytes, macOS bytes.
        let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
        Ok(Cost {
            wall,
            cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
            peak_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * unit,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            // It fails when the child has ended, which is what is wanted.
            drop(self.child.kill().and_then(|()| self.child.wait()));
        }
    }
}

/// Without this a flow would go on after SIGTERM to the benchmark, and wait for a server that has gone.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "std does not offer it")]
fn end_with_this_process(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let ask = || {
        // SAFETY: one system call, which is safe between fork and exec.
        match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(ask) };
}

#[cfg(not(target_os = "linux"))]
fn end_with_this_process(_: &mut Command) {}

#[expect(unsafe_code, reason = "std's wait does not say what the child used")]
fn wait(pid: u32) -> Result<(i32, libc::rusage)> {
    let pid = libc::pid_t::try_from(pid)?;
    let mut status = 0;
    // SAFETY: `rusage` is a struct of integers, for which zeroes are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to values of the right type that live until the call returns.
        if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } == pid {
            return Ok((status, usage));
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error).context("waiting for a child");
        }
    }
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
}
