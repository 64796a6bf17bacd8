//! What was once committed stays as it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Every object that a manifest has ever named, as it was when the manifest was first seen.
#[derive(Debug)]
pub(super) struct Ledger {
    lake: PathBuf,
    /// Manifests by name.
    cuts: BTreeMap<String, Vec<u8>>,
    objects: BTreeMap<PathBuf, State>,
}

/// What changes when a file is replaced.
type State = (u64, SystemTime);

#[derive(Debug, Deserialize)]
struct Manifest {
    objects: Vec<Object>,
}

#[derive(Debug, Deserialize)]
struct Object {
    path: PathBuf,
}

impl Ledger {
    pub(super) fn new(lake: PathBuf) -> Self {
        Self { lake, cuts: BTreeMap::new(), objects: BTreeMap::new() }
    }

    /// Takes the manifests down that are new: a reader may have used them by now.
    pub(super) fn read(&mut self) -> Result<()> {
        for path in files(&self.lake.join("_cuts")) {
            let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
            // A file that is still being written has another name.
            if !name.ends_with(".json") || self.cuts.contains_key(&name) {
                continue;
            }
            let manifest = fs::read(&path)?;
            let named: Manifest = serde_json::from_slice(&manifest).with_context(|| path.display().to_string())?;
            for object in named.objects {
                let state = state(&self.lake.join(&object.path)).with_context(|| format!("named by {name}"))?;
                self.objects.insert(object.path, state);
            }
            self.cuts.insert(name, manifest);
        }
        Ok(())
    }

    /// Fails when anything has changed that a reader may have used.
    pub(super) fn verify(&self) -> Result<()> {
        for (name, manifest) in &self.cuts {
            let now = fs::read(self.lake.join("_cuts").join(name));
            ensure!(now.is_ok_and(|now| now == *manifest), "the manifest {name} has changed or is gone");
        }
        for (path, before) in &self.objects {
            let now = state(&self.lake.join(path)).context("it was committed by a manifest")?;
            ensure!(now == *before, "{} was written again after a manifest had committed it", path.display());
        }
        Ok(())
    }
}

fn state(path: &Path) -> Result<State> {
    let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
    Ok((metadata.len(), metadata.modified()?))
}

/// Every file below a directory. What vanishes meanwhile is left out.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(_) => found.push(entry.path()),
                Err(_) => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lake(name: &str) -> PathBuf {
        let lake = std::env::temp_dir().join(format!("ductstream-ledger-{}-{name}", std::process::id()));
        fs::create_dir_all(lake.join("_cuts")).unwrap();
        fs::write(lake.join("a"), "a").unwrap();
        fs::write(lake.join("_cuts/1.json"), r#"{"objects": [{"path": "a"}]}"#).unwrap();
        lake
    }

    type Change = fn(&Path);

    #[test]
    fn a_change_of_what_was_committed_is_found_and_one_of_something_else_is_none() {
        let changes: [(&str, Change, bool); 4] = [
            ("other", |lake| fs::write(lake.join("b"), "b").unwrap(), true),
            ("longer", |lake| fs::write(lake.join("a"), "aa").unwrap(), false),
            ("gone", |lake| fs::remove_file(lake.join("a")).unwrap(), false),
            ("manifest", |lake| fs::remove_file(lake.join("_cuts/1.json")).unwrap(), false),
        ];
        for (name, change, unharmed) in changes {
            let lake = lake(name);
            let mut ledger = Ledger::new(lake.clone());
            ledger.read().unwrap();
            change(&lake);
            assert_eq!(ledger.verify().is_ok(), unharmed, "{name}");
            fs::remove_dir_all(lake).unwrap();
        }
    }

    #[test]
    fn a_manifest_that_names_what_is_not_there_is_found_at_once() {
        let lake = lake("missing");
        fs::remove_file(lake.join("a")).unwrap();
        assert!(Ledger::new(lake.clone()).read().is_err());
        fs::remove_dir_all(lake).unwrap();
    }
}
