//! Where the changes go: a directory, a store behind S3's protocol that fails on request, or topics.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::ledger::files;
use super::plan::Place;
use super::topics::Topics;

const PREFIX: &str = "chaos/lake";

/// A destination that can be looked into.
#[derive(Debug)]
pub(super) enum Store {
    Directory(PathBuf),
    S3(S3),
    Topics(Topics),
}

/// The test kit's S3 server, as a process of its own.
#[derive(Debug)]
pub(super) struct S3 {
    process: Child,
    commands: ChildStdin,
    at: Bucket,
}

/// What the server says of itself.
#[derive(Debug, Deserialize)]
struct Bucket {
    endpoint: String,
    bucket: String,
    access_key: String,
    secret_key: String,
    /// The bucket's objects as files.
    root: PathBuf,
}

impl Store {
    pub(super) fn start(place: &Place, s3_server: &Path, below: &Path) -> Result<Self> {
        match place {
            Place::Lake { s3: false, .. } => Ok(Self::Directory(below.join("lake"))),
            Place::Lake { s3: true, .. } => Self::s3(s3_server, below),
            Place::Topics(shape) => Ok(Self::Topics(Topics::start(shape)?)),
        }
    }

    fn s3(server: &Path, below: &Path) -> Result<Self> {
        let mut process = Command::new(server)
            .arg(below.join("s3"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", server.display()))?;
        let commands = process.stdin.take().context("the S3 server has no standard input")?;
        let mut said = String::new();
        BufReader::new(process.stdout.take().context("the S3 server has no output")?).read_line(&mut said)?;
        let at = serde_json::from_str(&said).with_context(|| format!("the S3 server said {said:?}"))?;
        Ok(Self::S3(S3 { process, commands, at }))
    }

    /// Where the objects are as files, if there are any.
    pub(super) fn lake(&self) -> Option<PathBuf> {
        match self {
            Self::Directory(lake) => Some(lake.clone()),
            Self::S3(s3) => Some(s3.at.root.join(PREFIX)),
            Self::Topics(_) => None,
        }
    }

    /// The topics, where it is those that the faults are for.
    pub(super) fn topics(&mut self) -> Result<&mut Topics> {
        match self {
            Self::Topics(topics) => Ok(topics),
            Self::Directory(_) | Self::S3(_) => bail!("there is no broker"),
        }
    }

    /// A number that grows with what has come: of files, or of KiB in topics.
    pub(super) fn arrived(&self) -> u64 {
        match self {
            Self::Topics(topics) => topics.kibibytes(),
            Self::Directory(_) | Self::S3(_) => self.lake().map_or(0, |lake| files(&lake).len() as u64),
        }
    }

    /// A number that grows only as long as the flow delivers.
    pub(super) fn progress(&self) -> u64 {
        match self {
            Self::Topics(topics) => topics.progress(),
            Self::Directory(_) | Self::S3(_) => self.lake().map_or(0, |lake| files(&lake.join("_cuts")).len() as u64),
        }
    }

    /// What tells the comparison where to look.
    pub(super) fn arguments(&self) -> Vec<String> {
        match self {
            Self::Topics(topics) => topics.arguments(),
            Self::Directory(_) | Self::S3(_) => self.lake().iter().map(|lake| lake.display().to_string()).collect(),
        }
    }

    /// The destination's lines of the flow file.
    pub(super) fn settings(&self) -> String {
        match self {
            Self::Directory(lake) => format!("    type: file\n    path: {}\n", lake.display()),
            Self::S3(S3 { at, .. }) => format!(
                "    type: s3\n    bucket: {}\n    prefix: {PREFIX}\n    endpoint: {}\n    access_key_id: {}\n    \
                 secret_access_key: {}\n    retry_for: 8s\n    request_timeout: 3s\n    part_size: 5MiB\n",
                at.bucket, at.endpoint, at.access_key, at.secret_key
            ),
            Self::Topics(topics) => topics.settings(),
        }
    }

    /// Lets the store fail once in so many requests, as `seed` tells, until [`Store::behave`].
    pub(super) fn misbehave(&mut self, seed: u64, once_in: u64) -> Result<()> {
        self.command(&format!("misbehave {seed} {once_in}"))
    }

    /// Lets the store work as it should.
    pub(super) fn behave(&mut self) -> Result<()> {
        self.command("behave")
    }

    fn command(&mut self, command: &str) -> Result<()> {
        match self {
            Self::Directory(_) | Self::Topics(_) => Ok(()),
            Self::S3(s3) => writeln!(s3.commands, "{command}").context("the S3 server has ended"),
        }
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // It ends with its standard input as well, should this fail.
        drop(self.process.kill().and_then(|()| self.process.wait()));
    }
}
