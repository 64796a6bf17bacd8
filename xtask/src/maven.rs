//! Fetching from Maven Central, by Maven itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{capture, find_program};

/// The plugin that copies artifacts, pinned as they are.
const PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy";

/// An artifact and the checksum of its content.
#[derive(Debug)]
pub(crate) struct MavenArtifact {
    /// `group:artifact:version:packaging[:classifier]`.
    pub(crate) coordinates: &'static str,
    /// SHA-256, in hexadecimal.
    pub(crate) sha256: &'static str,
}

/// Copies one artifact into `directory`, refuses another content than the pinned one, and returns the file's path.
pub(crate) fn copy(artifact: &MavenArtifact, directory: &Path) -> Result<PathBuf> {
    if find_program("mvn").is_none() {
        bail!("mvn is not installed, and {} comes from Maven Central: install Maven", artifact.coordinates);
    }
    let into = directory.join("maven");
    let mut maven = Command::new("mvn");
    maven.args(["--quiet", "--batch-mode", PLUGIN, &format!("-Dartifact={}", artifact.coordinates)]);
    capture(maven.arg(format!("-DoutputDirectory={}", into.display())).current_dir(directory))?;
    let Some(file) = std::fs::read_dir(&into)?.next() else {
        bail!("mvn copied nothing for {}", artifact.coordinates);
    };
    let file = file?.path();
    verify(&file, artifact.sha256)?;
    Ok(file)
}

fn verify(file: &Path, expected: &str) -> Result<()> {
    let program =
        if find_program("sha256sum").is_some() { ("sha256sum", &[][..]) } else { ("shasum", &["-a", "256"][..]) };
    let output = capture(Command::new(program.0).args(program.1).arg(file)).context("computing a checksum")?;
    match output.split_whitespace().next() {
        Some(found) if found == expected => Ok(()),
        found => bail!("{} has the SHA-256 {}, expected {expected}", file.display(), found.unwrap_or("?")),
    }
}
