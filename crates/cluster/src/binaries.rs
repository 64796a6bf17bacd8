//! Where PostgreSQL's programs are.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::account::in_path;
use crate::{Account, Result, doing};

/// Where `cargo xtask servers` puts what it fetches: `DUCTSTREAM_SERVERS`, else `target/servers` of the workspace.
pub fn servers_directory() -> PathBuf {
    match std::env::var_os("DUCTSTREAM_SERVERS") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers"),
    }
}

/// The `bin` directory of a PostgreSQL installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// What has to be copied for the programs to run elsewhere.
    root: PathBuf,
    /// The programs' directory, below the root.
    bin: PathBuf,
}

impl Binaries {
    /// The programs in the directory `bin` below `root`, which holds their libraries and shared files as well.
    pub fn new(root: impl Into<PathBuf>, bin: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), bin: bin.into() }
    }

    /// The server that `cargo xtask servers` fetched for a major version. It has no client programs.
    ///
    /// # Errors
    /// When it has not been fetched; the message has the remedy.
    pub fn fetched(major: u16) -> Result<Self> {
        let root = servers_directory().join(format!("postgres-{major}"));
        if root.join("bin/postgres").is_file() {
            return Ok(Self::new(root.canonicalize()?, "bin"));
        }
        let option = if [14, 18].contains(&major) { "" } else { " --all-postgres" };
        Err(Error::new(
            ErrorKind::NotFound,
            format!("PostgreSQL {major} is not in {}: run `cargo xtask servers{option}`", root.display()),
        ))
    }

    /// An installation on this machine that has every one of `programs`: Debian's, `pg_config`'s, or one in `PATH`;
    /// the newest of Debian's first.
    pub fn installed(programs: &[&str]) -> Option<Self> {
        let mut candidates = debian();
        candidates.extend(pg_config());
        candidates.extend(in_path("postgres").and_then(|file| Some(file.canonicalize().ok()?.parent()?.to_path_buf())));
        let complete = |bin: &PathBuf| programs.iter().all(|program| bin.join(program).is_file());
        let bin = candidates.into_iter().find(complete)?;
        Some(Self::new(bin.parent()?, bin.file_name()?))
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.root.join(&self.bin).join(name)
    }

    /// The same programs where `account` can run them: copied to a directory of its own when it cannot reach these.
    pub(crate) fn reachable(&self, account: &Account) -> Result<Self> {
        if account.can_run(&self.program("postgres")) {
            return Ok(self.clone());
        }
        let copy = copy_path(&self.root)?;
        if !copy.is_dir() {
            let partial = copy.with_extension(format!("{}.partial", std::process::id()));
            let copied = Command::new("cp").args(["-R", "-P"]).arg(&self.root).arg(&partial).status()?;
            let opened = Command::new("chmod").args(["-R", "a+rX"]).arg(&partial).status()?;
            if !copied.success() || !opened.success() {
                return Err(Error::other(format!("copying {} to {} failed", self.root.display(), partial.display())));
            }
            // Another process may have been faster: its copy serves as well.
            if std::fs::rename(&partial, &copy).is_err() {
                doing(partial.display(), std::fs::remove_dir_all(&partial))?;
            }
        }
        Ok(Self::new(copy, &self.bin))
    }
}

/// A name under the temporary directory that changes whenever the installation does.
fn copy_path(installation: &Path) -> Result<PathBuf> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    installation.hash(&mut hasher);
    doing(installation.display(), std::fs::metadata(installation).and_then(|it| it.modified()))?.hash(&mut hasher);
    Ok(std::env::temp_dir().join(format!("ductstream-servers-{:016x}", hasher.finish())))
}

fn debian() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok())
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, bin)| bin).collect()
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}
