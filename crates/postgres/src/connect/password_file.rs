//! The password file.
//!
//! <https://www.postgresql.org/docs/current/libpq-pgpass.html>

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::parameters::Parameters;

/// The lines of a password file.
#[derive(Default)]
pub(super) struct PasswordFile(Vec<[String; 5]>);

impl PasswordFile {
    /// The file that `passfile` or `PGPASSFILE` names, or `~/.pgpass`. As in libpq, a missing file holds nothing, and
    /// so does one that others may read, with a warning.
    pub(super) fn load(parameters: &Parameters, environment: &Environment) -> Self {
        let path = parameters.get("passfile").map(PathBuf::from).or_else(|| environment.home_file(".pgpass"));
        path.filter(|path| is_private(path))
            .and_then(|path| std::fs::read(path).ok())
            .map(|bytes| Self::parse(&String::from_utf8_lossy(&bytes)))
            .unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(fields).collect())
    }

    /// The password of the first line that fits `host:port:database:user`.
    pub(super) fn password(&self, sought: [&str; 4]) -> Option<&str> {
        let fits = |line: &&[String; 5]| {
            line.iter().zip(sought).all(|(field, value)| field == "*" || unescape(field) == value)
        };
        self.0.iter().find(fits).map(|line| line[4].as_str())
    }
}

/// Whether `path` is an ordinary file that only its owner may read.
fn is_private(path: &Path) -> bool {
    let Ok(metadata) = std::fs::metadata(path) else { return false };
    let problem = match metadata {
        ref metadata if !metadata.is_file() => "it is not a plain file",
        ref metadata if metadata.mode() & 0o077 != 0 => "others may read it; run chmod 0600 on it",
        _ => return true,
    };
    tracing::warn!(path = %path.display(), "password file ignored: {problem}");
    false
}

/// The five fields of a line, of which the first four are still escaped; in the last, escapes are undone.
fn fields(line: &str) -> Option<[String; 5]> {
    let mut fields: [String; 5] = Default::default();
    let (mut index, mut escaped) = (0, false);
    for c in line.trim_end_matches('\r').chars() {
        if c == ':' && !escaped && index < 4 {
            index += 1;
            continue;
        }
        fields[index].push(c);
        escaped = c == '\\' && !escaped;
    }
    fields[4] = unescape(&fields[4]);
    (index == 4).then_some(fields)
}

fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_line_that_fits_gives_the_password() {
        let file = PasswordFile::parse(
            "# comment:*:*:*:no\n\
             db:5432:shop:app:one\n\
             db:*:*:app:t\\:w\\\\o\n\
             ::1:5432:a:b:short\n\
             \\:\\:1:5432:shop:app:six\n\
             *:*:*:*:last:with:colons\n\
             unfinished:line\n",
        );
        let table = [
            (["db", "5432", "shop", "app"], "one"),
            (["db", "5433", "shop", "app"], "t:w\\o"),
            (["::1", "5432", "shop", "app"], "six"),
            (["other", "1", "x", "y"], "last:with:colons"),
        ];
        for (sought, password) in table {
            assert_eq!(file.password(sought), Some(password), "{sought:?}");
        }
        assert_eq!(PasswordFile::default().password(["a", "b", "c", "d"]), None);
    }

    #[test]
    fn a_file_that_others_may_read_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pgpass");
        std::fs::write(&path, "*:*:*:*:secret\n").unwrap();
        let mut parameters = Parameters::default();
        parameters.set("passfile", path.display().to_string(), "the test").unwrap();
        for (mode, expected) in [(0o644, None), (0o640, None), (0o600, Some("secret"))] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let file = PasswordFile::load(&parameters, &Environment::default());
            assert_eq!(file.password(["a", "b", "c", "d"]), expected, "{mode:o}");
        }
    }
}
