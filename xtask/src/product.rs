//! The `ductstream` binary, and other programs of this workspace.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::workspace::{capture, cargo, run};

/// Builds the binary and says where it is.
pub(crate) fn build(release: bool) -> Result<PathBuf> {
    // With the whole workspace selected, its dependencies are built once, with the features that the tests build them
    // with too.
    let mut build = cargo();
    build.args(["build", "--workspace", "--bin", "ductstream"]).args(release.then_some("--release"));
    executable_of(build)
}

/// Builds a program for tests. The debug build is the one that `cargo xtask test` has made already.
pub(crate) fn build_for_tests(program: &str, release: bool) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--workspace", "--bin", program]);
    build.args(if release { ["--release"].as_slice() } else { &["--features", "ductstream/failpoints"] });
    executable_of(build)
}

fn executable_of(mut build: Command) -> Result<PathBuf> {
    run(&mut build)?;
    let messages = capture(build.args(["--quiet", "--message-format=json"]))?;
    let executable = messages.lines().filter_map(executable).next_back();
    executable.context("cargo build names no executable")
}

fn executable(message: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    serde_json::from_str::<Message>(message).ok()?.executable
}
