//! What the settings say about TLS.
//!
//! <https://www.postgresql.org/docs/current/libpq-ssl.html>

use std::path::PathBuf;

use ductstream_core::{Error, Result};

use super::environment::Environment;
use super::parameters::Parameters;
use super::values::choose;

/// Whether the connection is encrypted and the server verified (`sslmode`), with libpq's meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// In clear.
    Disable,
    /// In clear, and encrypted when the server refuses that.
    Allow,
    /// Encrypted, and in clear when the server cannot or refuses.
    Prefer,
    /// Encrypted. The certificate chain is verified when there are root certificates.
    Require,
    /// Encrypted, and the certificate chain verified.
    VerifyCa,
    /// Encrypted, the certificate chain and the host name verified.
    VerifyFull,
}

/// How encryption is asked for (`sslnegotiation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslNegotiation {
    /// By a request of the PostgreSQL protocol.
    Postgres,
    /// By a TLS handshake from the first byte (PostgreSQL 17 and later).
    Direct,
}

/// Everything about TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SslSettings {
    /// Whether to encrypt and to verify.
    pub mode: SslMode,
    /// How to ask for it.
    pub negotiation: SslNegotiation,
    /// Where root certificates are.
    pub roots: Roots,
    /// The client's certificate and key.
    pub client: Option<ClientCertificate>,
    /// Whether to tell the server the host name (`sslsni`).
    pub server_name_indication: bool,
    /// The lowest and highest protocol version, as (1, 2) or (1, 3).
    pub versions: [TlsVersion; 2],
}

/// A TLS version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2.
    Tls12,
    /// 1.3.
    Tls13,
}

/// Where root certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Nowhere: the server is not verified. Holds the default file that does not exist.
    None(PathBuf),
    /// In this file.
    File(PathBuf),
    /// In the system's store.
    System,
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and its chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

const MODES: [(&str, SslMode); 6] = [
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

impl SslMode {
    /// The mode's name in libpq.
    pub fn as_str(self) -> &'static str {
        MODES.iter().find(|(_, mode)| *mode == self).map_or("disable", |(name, _)| name)
    }
}

impl SslSettings {
    /// What `parameters` say, completed by the files under `~/.postgresql` that exist.
    pub(super) fn resolve(parameters: &Parameters, environment: &Environment) -> Result<Self> {
        let roots = roots(parameters, environment);
        let default_mode = if roots == Roots::System { SslMode::VerifyFull } else { SslMode::Prefer };
        let mode = parameters.get("sslmode").map_or(Ok(default_mode), |text| choose("sslmode", text, &MODES))?;
        let negotiations = [("postgres", SslNegotiation::Postgres), ("direct", SslNegotiation::Direct)];
        let negotiation = parameters
            .get("sslnegotiation")
            .map_or(Ok(SslNegotiation::Postgres), |text| choose("sslnegotiation", text, &negotiations))?;
        let settings = Self {
            mode,
            negotiation,
            roots,
            client: client(parameters, environment),
            server_name_indication: parameters.get("sslsni") != Some("0"),
            versions: versions(parameters)?,
        };
        settings.check()?;
        Ok(settings)
    }

    /// Refuses combinations that would be weaker than they look.
    fn check(&self) -> Result<()> {
        let mode = self.mode.as_str();
        if self.roots == Roots::System && self.mode != SslMode::VerifyFull {
            return Err(Error::configuration(format!("sslmode={mode} is too weak for sslrootcert=system"))
                .with_remedy("set sslmode=verify-full: the system trusts certificates of anybody's servers"));
        }
        if self.negotiation == SslNegotiation::Direct && self.mode < SslMode::Require {
            return Err(Error::configuration(format!("sslmode={mode} does not go with sslnegotiation=direct"))
                .with_remedy("set sslmode=require or a stronger one"));
        }
        match &self.roots {
            Roots::None(path) if self.mode >= SslMode::VerifyCa => {
                let message = format!("sslmode={mode} needs root certificates, and {} does not exist", path.display());
                Err(Error::configuration(message)
                    .with_remedy("set sslrootcert to a file of root certificates, or to system for the system's"))
            }
            _ => Ok(()),
        }
    }
}

fn roots(parameters: &Parameters, environment: &Environment) -> Roots {
    match parameters.get("sslrootcert") {
        Some("system") => Roots::System,
        Some(path) => Roots::File(path.into()),
        None => {
            let path = environment.home_file(".postgresql/root.crt").unwrap_or_default();
            if path.exists() { Roots::File(path) } else { Roots::None(path) }
        }
    }
}

fn client(parameters: &Parameters, environment: &Environment) -> Option<ClientCertificate> {
    if parameters.get("sslcertmode") == Some("disable") {
        return None;
    }
    let default = |name: &str| environment.home_file(name).filter(|path| path.exists());
    let certificate = parameters.get("sslcert").map(PathBuf::from).or_else(|| default(".postgresql/postgresql.crt"))?;
    let key = parameters.get("sslkey").map(PathBuf::from);
    let key = key.or_else(|| environment.home_file(".postgresql/postgresql.key"))?;
    Some(ClientCertificate { certificate, key })
}

fn versions(parameters: &Parameters) -> Result<[TlsVersion; 2]> {
    use TlsVersion::{Tls12, Tls13};
    // TLS 1.0 and 1.1 as a lower bound ask for no less than 1.2, which is the lowest there is.
    let lowest = [("TLSv1", Tls12), ("TLSv1.1", Tls12), ("TLSv1.2", Tls12), ("TLSv1.3", Tls13)];
    let read = |keyword, choices: &[_], default| {
        parameters.get(keyword).map_or(Ok(default), |text| choose(keyword, text, choices))
    };
    let minimum = read("ssl_min_protocol_version", &lowest, Tls12)?;
    let maximum = read("ssl_max_protocol_version", &lowest[2..], Tls13)?;
    if minimum > maximum {
        return Err(Error::configuration("ssl_min_protocol_version is higher than ssl_max_protocol_version")
            .with_remedy("leave both out"));
    }
    Ok([minimum, maximum])
}
