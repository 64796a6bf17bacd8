//! The files of the corpus.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::format::OLDEST;

/// A file of the corpus.
pub(crate) struct Seed {
    pub(crate) name: String,
    pub(crate) input: Vec<u8>,
}

impl Seed {
    /// The version that was recorded.
    pub(crate) fn version(&self) -> u8 {
        OLDEST + self.input[0]
    }
}

/// What servers sent, a connection each.
pub(crate) static CONNECTIONS: LazyLock<Vec<Seed>> = LazyLock::new(|| {
    let mut seeds = files(&directory());
    seeds.retain(|seed| seed.name.ends_with(".frames"));
    seeds
});

/// The columns of what they sent.
pub(crate) static COLUMNS: LazyLock<Vec<Seed>> = LazyLock::new(|| files(&directory().join("values")));

/// Inputs that once did what none may do; each file is named after its target.
pub(crate) fn found(target: &str) -> Vec<Seed> {
    let mut seeds = files(&directory().join("found"));
    seeds.retain(|seed| seed.name.starts_with(target));
    seeds
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn files(directory: &Path) -> Vec<Seed> {
    let entries = std::fs::read_dir(directory).expect("a directory of the corpus");
    let paths = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    let seed = |path: PathBuf| Seed {
        name: path.file_name().expect("a name").to_string_lossy().into_owned(),
        input: std::fs::read(&path).expect("a file of the corpus"),
    };
    let mut seeds: Vec<Seed> = paths.map(seed).collect();
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    seeds
}
