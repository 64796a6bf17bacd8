//! Standbys: servers that begin as a copy of another.

use std::fs;
use std::io::Error;
use std::path::Path;

use super::{Server, append, setting};
use crate::process::{free_port, make_directory, run, sweep};
use crate::{Result, doing};

impl Server {
    /// A standby of this server, which must have been shut down in order: a copy of its data directory without slots, with
    /// `settings` behind this server's own. Neither is started.
    ///
    /// # Errors
    /// When this server runs, or its directory cannot be copied.
    pub fn standby(&self, settings: &[(String, String)]) -> Result<Self> {
        if self.pid.is_some() {
            return Err(Error::other("a server that runs cannot be copied: shut it down"));
        }
        let directory = make_directory(&self.account)?;
        let sweeper = sweep(&self.account, &directory)?;
        let standby = Self {
            account: self.account.clone(),
            binaries: self.binaries.clone(),
            directory,
            port: self.other_port()?,
            watchdog: None,
            sweeper,
            pid: None,
        };
        let data = standby.data_directory();
        run(self.command(Path::new("cp")).arg("-a").arg(self.data_directory()).arg(&data))?;
        // As a base backup does: slots belong to the server that they were made on.
        for slot in fs::read_dir(data.join("pg_replslot"))? {
            fs::remove_dir_all(slot?.path())?;
        }
        let signal = data.join("standby.signal");
        doing(signal.display(), fs::write(&signal, ""))?;
        self.account.give(&signal)?;
        let settings: String = settings.iter().map(|(name, value)| setting(name, value)).collect();
        append(&data.join("postgresql.conf"), &settings)?;
        Ok(standby)
    }

    /// A port that is not this server's, which looks free while it is down.
    fn other_port(&self) -> Result<u16> {
        loop {
            let port = free_port()?;
            if port != self.port {
                return Ok(port);
            }
        }
    }
}
