//! What the process's surroundings contribute to connection settings.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Environment variables, home directory and user name: what libpq looks up in the process. Injected, so that resolving
/// settings reads nothing global.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The `PG*` variables.
    pub variables: BTreeMap<String, String>,
    /// The user's home directory, where `.pgpass`, `.pg_service.conf` and `.postgresql/` are.
    pub home: Option<PathBuf>,
    /// The operating system's user name: the default of `user`.
    pub user: Option<String>,
    /// Directories where a server's unix socket may be, when no host is given.
    pub socket_directories: Vec<PathBuf>,
    /// Where the system-wide `pg_service.conf` is, when `PGSYSCONFDIR` does not say.
    pub system_directory: PathBuf,
}

impl Environment {
    /// The surroundings of this process.
    pub fn of_process() -> Self {
        Self {
            variables: std::env::vars().filter(|(name, _)| name.starts_with("PG")).collect(),
            home: std::env::home_dir().filter(|home| !home.as_os_str().is_empty()),
            user: system_user(),
            socket_directories: vec!["/var/run/postgresql".into(), "/tmp".into()],
            system_directory: "/etc/postgresql-common".into(),
        }
    }

    /// The value of `variable`. As in libpq, an empty one counts.
    pub(super) fn variable(&self, variable: &str) -> Option<&str> {
        self.variables.get(variable).map(String::as_str)
    }

    /// A file under the home directory.
    pub(super) fn home_file(&self, name: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(name))
    }
}

/// The name of the user that this process runs as: of its user id where `/proc` tells it, as libpq asks for, otherwise
/// what the shell says.
fn system_user() -> Option<String> {
    let by_id = || {
        use std::os::unix::fs::MetadataExt;
        let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == uid).then(|| name.to_owned())
        })
    };
    by_id().or_else(|| std::env::var("USER").ok()).or_else(|| std::env::var("LOGNAME").ok())
}
