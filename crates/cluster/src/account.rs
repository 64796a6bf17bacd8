//! Who runs the server: PostgreSQL refuses to run as root.

use std::ffi::OsStr;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Result, doing};

/// The account that runs servers: this process's own or, when that is root, an unprivileged one.
#[derive(Debug, Clone)]
pub struct Account {
    switch: Option<Switch>,
}

#[derive(Debug, Clone)]
struct Switch {
    tool: &'static str,
    user: &'static str,
    uid: u32,
    gid: u32,
}

impl Account {
    /// Finds the account: no switch unless this process is root, then `postgres`, else `nobody`.
    ///
    /// # Errors
    /// As root, when neither account or none of `setpriv`, `runuser` and `su` exists.
    pub fn find() -> Result<Self> {
        if std::fs::metadata("/proc/self").map(|own| own.uid()).or_else(|_| id("-u", None))? != 0 {
            return Ok(Self { switch: None });
        }
        let Some(user) = ["postgres", "nobody"].into_iter().find(|user| id("-u", Some(user)).is_ok()) else {
            return Err(Error::new(
                ErrorKind::NotFound,
                "PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody",
            ));
        };
        let Some(tool) = ["setpriv", "runuser", "su"].into_iter().find(|tool| in_path(tool).is_some()) else {
            return Err(Error::new(ErrorKind::NotFound, "none of setpriv, runuser and su is installed"));
        };
        Ok(Self { switch: Some(Switch { tool, user, uid: id("-u", Some(user))?, gid: id("-g", Some(user))? }) })
    }

    /// This process's own account.
    pub(crate) fn own() -> Self {
        Self { switch: None }
    }

    /// A command that runs `program` as the account, without this process's `PG*` variables.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match &self.switch {
            None => Command::new(program),
            Some(switch) => switch.command(program.as_ref()),
        };
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C");
        command
    }

    /// Makes the account the owner of a file or directory.
    ///
    /// # Errors
    /// When the path does not exist.
    pub fn give(&self, path: &Path) -> Result<()> {
        match &self.switch {
            None => Ok(()),
            Some(Switch { uid, gid, .. }) => doing(path.display(), chown(path, Some(*uid), Some(*gid))),
        }
    }

    /// Whether the account may run the program at `path`: a checkout may lie where it cannot reach.
    pub(crate) fn can_run(&self, path: &Path) -> bool {
        let mut test = self.command("test");
        test.arg("-x").arg(path).current_dir("/").stderr(Stdio::null());
        test.status().is_ok_and(|status| status.success())
    }
}

impl Switch {
    fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new(self.tool);
        match self.tool {
            "setpriv" => {
                command.args([format!("--reuid={}", self.uid), format!("--regid={}", self.gid)]);
                command.args(["--clear-groups", "--"]).arg(program)
            }
            "runuser" => command.args(["-u", self.user, "--"]).arg(program),
            _ => command.args([self.user, "-s", "/bin/sh", "-c", "exec \"$0\" \"$@\"", "--"]).arg(program),
        };
        command
    }
}

/// Asks `id` for a number of `user`, or of this process.
fn id(which: &str, user: Option<&str>) -> Result<u32> {
    let output = Command::new("id").arg(which).args(user).output()?;
    let number = String::from_utf8_lossy(&output.stdout);
    number.trim().parse().map_err(|_| Error::new(ErrorKind::NotFound, format!("id {which} gave {number:?}")))
}

/// Where `program` is in `PATH`.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}
