//! PostgreSQL with its client programs, for the quickstart and the benchmarks.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use ductstream_cluster::{Binaries, Server, ServerOptions, servers_directory};

use crate::servers::{install, python};
use crate::versions::PGSERVER;
use crate::workspace::capture;

/// A throwaway server and the programs to work on it.
#[derive(Debug)]
pub(crate) struct Postgres {
    server: Server,
    binaries: Binaries,
}

impl Postgres {
    /// Starts a server of an installation that has `programs`, fetching one when the machine has none.
    pub(crate) fn start(programs: &[&str], settings: &[(&str, &str)]) -> Result<Self> {
        let binaries = find(programs)?;
        let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let options = ServerOptions { binaries: binaries.clone(), settings, hba: Vec::new(), files: Vec::new() };
        Ok(Self { server: Server::create(options)?, binaries })
    }

    /// The URL of a database, for the superuser over TCP.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.server.port())
    }

    /// The URL of a database, for the superuser over the unix socket.
    pub(crate) fn socket_url(&self, database: &str) -> String {
        let (directory, port) = (self.server.socket_directory().display(), self.server.port());
        format!("postgresql://postgres@/{database}?host={directory}&port={port}")
    }

    /// A command of one of PostgreSQL's client programs.
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.program(program));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command
    }

    /// The server's version, as it says it.
    pub(crate) fn version(&self) -> Result<String> {
        self.query("postgres", "show server_version")
    }

    /// Runs SQL and returns what it gives: a line per row, columns separated by `|`.
    pub(crate) fn query(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.client("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url(database), "-c", sql]);
        Ok(capture(&mut psql)?.trim_end().to_owned())
    }
}

/// An installation that has a server, `psql` and `programs`, fetched when the machine has none.
fn find(programs: &[&str]) -> Result<Binaries> {
    let needed: Vec<&str> = ["initdb", "postgres", "psql"].iter().chain(programs).copied().collect();
    match Binaries::installed(&needed) {
        Some(binaries) => Ok(binaries),
        None => fetch().context("fetching PostgreSQL with its client programs"),
    }
}

/// The version of the server that has `programs`, without starting it: `15.14`.
pub(crate) fn version(programs: &[&str]) -> Result<String> {
    let version = capture(Command::new(find(programs)?.program("postgres")).arg("--version"))?;
    version.split_whitespace().nth(2).map(str::to_owned).context("postgres --version says no version")
}

/// Unpacks PostgreSQL from a wheel of the package index.
fn fetch() -> Result<Binaries> {
    let place = servers_directory().join("postgres-with-clients");
    install(&place, PGSERVER, |directory| {
        // The wheel's programs need no Python: any of its Python versions will do.
        let mut pip = Command::new(python());
        pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--only-binary=:all:", "--python-version=3.11", "--implementation=cp", "--abi=cp311", PGSERVER]);
        capture(pip.current_dir(directory))?;
        let wheels: Vec<PathBuf> = std::fs::read_dir(directory)?
            .map(|entry| Ok(entry?.path()))
            .filter(|path| path.as_ref().is_ok_and(|path| path.extension().is_some_and(|it| it == "whl")))
            .collect::<Result<_>>()?;
        let [wheel] = wheels.as_slice() else { bail!("pip download left {} wheels", wheels.len()) };
        capture(Command::new(python()).args(["-m", "zipfile", "-e"]).arg(wheel).arg(directory))?;
        std::fs::remove_file(wheel)?;
        capture(Command::new("chmod").args(["-R", "a+rX"]).arg(directory))?;
        capture(Command::new("chmod").args(["-R", "a+x"]).arg(directory.join("pgserver/pginstall/bin")))?;
        Ok(())
    })?;
    Ok(Binaries::new(place.canonicalize()?, "pgserver/pginstall/bin"))
}
