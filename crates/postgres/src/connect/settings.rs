//! Connection settings, resolved from everything that libpq would look at.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ductstream_core::{Error, Result};

use super::conninfo;
use super::environment::Environment;
use super::parameters::Parameters;
use super::password_file::PasswordFile;
use super::service_file;
use super::ssl::SslSettings;
use super::values::{ChannelBinding, RequireAuth, choose, integer};

/// How long one address may take to answer when `connect_timeout` does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// `application_name` when nothing sets it.
const APPLICATION_NAME: &str = "ductstream";
const DEFAULT_PORT: u16 = 5432;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// TCP. At least one of the two is there: the name is looked up unless the address is given (`hostaddr`).
    Tcp {
        /// The host name: what certificates are verified against.
        name: Option<String>,
        /// The address to connect to.
        address: Option<IpAddr>,
    },
    /// A unix socket in this directory.
    Unix(PathBuf),
}

/// One server to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Its port; for a unix socket a part of the file's name.
    pub port: u16,
    /// The password for it.
    pub password: Option<Secret>,
}

impl Host {
    /// The unix socket's file, for a unix socket.
    pub fn socket_file(&self) -> Option<PathBuf> {
        match &self.endpoint {
            Endpoint::Unix(directory) => Some(directory.join(format!(".s.PGSQL.{}", self.port))),
            Endpoint::Tcp { .. } => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.endpoint, self.socket_file()) {
            (Endpoint::Tcp { name: Some(name), .. }, _) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            (Endpoint::Tcp { name: Some(name), .. }, _) => write!(f, "{name}:{}", self.port),
            (Endpoint::Tcp { address: Some(IpAddr::V6(address)), .. }, _) => write!(f, "[{address}]:{}", self.port),
            (Endpoint::Tcp { address: Some(address), .. }, _) => write!(f, "{address}:{}", self.port),
            (_, Some(file)) => write!(f, "{}", file.display()),
            _ => write!(f, ":{}", self.port),
        }
    }
}

/// A value that no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// Which kind of server is wanted, of several (`target_session_attrs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetSession {
    /// Whichever answers.
    Any,
    /// One that takes writes.
    ReadWrite,
    /// One that takes none.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is in recovery.
    Standby,
    /// One that is in recovery; any, when there is none.
    PreferStandby,
}

/// TCP keep-alive (`keepalives` and its kin). What is not set is left to the system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeepAlive {
    /// Whether it is off.
    pub disabled: bool,
    /// Silence before the first probe.
    pub idle: Option<Duration>,
    /// Time between probes.
    pub interval: Option<Duration>,
    /// Probes without an answer before the connection counts as dead.
    pub count: Option<u32>,
    /// How long sent data may stay without an acknowledgement.
    pub user_timeout: Option<Duration>,
}

/// Where and how to connect. `Display` prints an address without secrets: `db.example:5432/shop as app`.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// Servers in the order to try them; never empty.
    pub hosts: Vec<Host>,
    /// Whether to try them in random order instead (`load_balance_hosts`).
    pub shuffle_hosts: bool,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// TLS.
    pub ssl: SslSettings,
    /// Whether SCRAM is bound to the TLS channel.
    pub channel_binding: ChannelBinding,
    /// Which authentication methods are taken.
    pub require_auth: RequireAuth,
    /// How long each address may take to answer, from the first packet until the session is ready; `None` for ever.
    pub connect_timeout: Option<Duration>,
    /// `application_name`.
    pub application_name: String,
    /// Command-line options for the server (`options`).
    pub options: Option<String>,
    /// TCP keep-alive.
    pub keepalive: KeepAlive,
    /// Which kind of server is wanted.
    pub target: TargetSession,
}

impl ConnectionSettings {
    /// Settings from a URL or keyword string, completed from this process's environment as libpq does.
    ///
    /// Deliberate differences from libpq: `require_auth` refuses md5 and cleartext passwords unless it says otherwise,
    /// and `connect_timeout` has a default of 15 seconds.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) naming the parameter that is wrong.
    pub fn resolve(url: &str) -> Result<Self> {
        Self::resolve_in(url, &Environment::of_process())
    }

    /// As [`resolve`](Self::resolve), in the given environment.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn resolve_in(url: &str, environment: &Environment) -> Result<Self> {
        let mut parameters = conninfo::parse(url)?;
        let service = service_file::load(&parameters, environment)?;
        parameters.fill_from(service);
        parameters.fill_from_environment(environment)?;
        Self::from_parameters(&parameters, environment)
    }

    fn from_parameters(parameters: &Parameters, environment: &Environment) -> Result<Self> {
        let user = parameters.get("user").or(environment.user.as_deref()).ok_or_else(|| {
            Error::configuration("the connection settings name no user").with_remedy("add user= or set PGUSER")
        })?;
        let database = parameters.get("dbname").unwrap_or(user).to_owned();
        let hosts = hosts(parameters, environment, [&database, user])?;
        let name = |keyword| parameters.get(keyword).map(str::to_owned);
        Ok(Self {
            hosts,
            shuffle_hosts: parse_or(parameters, "load_balance_hosts", false, |text| {
                choose("load_balance_hosts", text, &[("disable", false), ("random", true)])
            })?,
            user: user.to_owned(),
            database,
            ssl: SslSettings::resolve(parameters, environment)?,
            channel_binding: parse_or(parameters, "channel_binding", ChannelBinding::default(), ChannelBinding::parse)?,
            require_auth: parse_or(parameters, "require_auth", RequireAuth::default(), RequireAuth::parse)?,
            connect_timeout: parse_or(parameters, "connect_timeout", Some(CONNECT_TIMEOUT), |text| {
                // As in libpq, zero and less mean no limit.
                Ok(u64::try_from(integer("connect_timeout", text)?).ok().filter(|s| *s > 0).map(Duration::from_secs))
            })?,
            application_name: name("application_name")
                .or_else(|| name("fallback_application_name"))
                .unwrap_or_else(|| APPLICATION_NAME.to_owned()),
            options: name("options"),
            keepalive: KeepAlive::resolve(parameters)?,
            target: parse_or(parameters, "target_session_attrs", TargetSession::Any, TargetSession::parse)?,
        })
    }

    /// The same settings for another database of the same server. The password stays.
    #[must_use]
    pub fn with_database(mut self, database: impl Into<String>) -> Self {
        self.database = database.into();
        self
    }

    /// The same settings for the one host whose [address](Self::address_of) this is, so that further connections go to the same server.
    #[must_use]
    pub fn only(mut self, address: &str) -> Self {
        let chosen = self.hosts.iter().find(|host| self.address_of(host) == address).cloned();
        self.hosts = chosen.map_or(self.hosts, |host| vec![host]);
        self
    }

    /// The same settings under another `application_name`.
    #[must_use]
    pub fn with_application_name(mut self, name: impl Into<String>) -> Self {
        self.application_name = name.into();
        self
    }

    /// The address of `host` in messages: `db.example:5432/shop as app`.
    pub fn address_of(&self, host: &Host) -> String {
        format!("{host}/{} as {}", self.database, self.user)
    }
}

impl fmt::Display for ConnectionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.hosts.iter().map(Host::to_string).collect();
        write!(f, "{}/{} as {}", hosts.join(","), self.database, self.user)
    }
}

fn parse_or<T>(parameters: &Parameters, keyword: &str, default: T, parse: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    parameters.get(keyword).map_or(Ok(default), parse)
}

/// Every host with its port and password. `login` is the database and the user.
fn hosts(parameters: &Parameters, environment: &Environment, login: [&str; 2]) -> Result<Vec<Host>> {
    let list = |keyword| parameters.get(keyword).map(|text| text.split(',').map(str::trim).collect::<Vec<_>>());
    let (names, addresses) = (list("host"), list("hostaddr"));
    if let (Some(names), Some(addresses)) = (&names, &addresses)
        && names.len() != addresses.len()
    {
        return Err(counts("hostaddr", addresses.len(), names.len()));
    }
    let count = names.as_ref().or(addresses.as_ref()).map_or(1, Vec::len);
    let ports = ports(list("port").unwrap_or_default(), count)?;
    let passwords = Passwords::load(parameters, environment);
    ports
        .into_iter()
        .enumerate()
        .map(|(index, port)| {
            let item = |list: &Option<Vec<&str>>| -> Option<String> {
                list.as_ref().map(|list| list[index]).filter(|item| !item.is_empty()).map(str::to_owned)
            };
            let (endpoint, is_default) = endpoint(item(&names), item(&addresses), port, environment)?;
            let mut host = Host { endpoint, port, password: None };
            host.password = passwords.of(&host, is_default, login);
            Ok(host)
        })
        .collect()
}

fn ports(list: Vec<&str>, count: usize) -> Result<Vec<u16>> {
    let parse = |text: &str| match text {
        "" => Ok(DEFAULT_PORT),
        text => text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
            Error::configuration(format!("port: {text:?} is not a port number"))
                .with_remedy("set port to a number from 1 to 65535")
        }),
    };
    match list[..] {
        [] => Ok(vec![DEFAULT_PORT; count]),
        [one] => Ok(vec![parse(one)?; count]),
        ref many if many.len() == count => many.iter().map(|text| parse(text)).collect(),
        ref many => Err(counts("port", many.len(), count)),
    }
}

fn counts(keyword: &str, given: usize, hosts: usize) -> Error {
    Error::configuration(format!("{keyword} has {given} entries for {hosts} hosts"))
        .with_remedy(format!("give {keyword} one entry for each host"))
}

/// The endpoint, and whether it is the socket directory that is taken when nothing is given.
fn endpoint(
    name: Option<String>,
    address: Option<String>,
    port: u16,
    environment: &Environment,
) -> Result<(Endpoint, bool)> {
    let address = address
        .map(|text| {
            text.parse::<IpAddr>().map_err(|_| {
                Error::configuration(format!("hostaddr: {text:?} is not an IP address"))
                    .with_remedy("write host names in host, and IP addresses in hostaddr")
            })
        })
        .transpose()?;
    match name {
        Some(name) if name.starts_with('@') => {
            Err(Error::configuration(format!("host: {name:?} is an abstract socket, which is not supported"))
                .with_remedy("give the directory of the server's socket file, or its host name"))
        }
        Some(name) if name.starts_with('/') && address.is_none() => Ok((Endpoint::Unix(name.into()), false)),
        None if address.is_none() => Ok((Endpoint::Unix(default_directory(port, environment)), true)),
        name => Ok((Endpoint::Tcp { name, address }, false)),
    }
}

/// The first of the usual directories that holds a socket for `port`; without one, the first that exists. libpq has the
/// one that its distribution chose compiled in.
fn default_directory(port: u16, environment: &Environment) -> PathBuf {
    let directories = &environment.socket_directories;
    let holds = |directory: &&PathBuf| directory.join(format!(".s.PGSQL.{port}")).exists();
    let found = directories.iter().find(holds).or_else(|| directories.iter().find(|directory| directory.is_dir()));
    found.cloned().unwrap_or_else(|| Path::new("/tmp").into())
}

/// Where passwords come from.
struct Passwords<'a> {
    given: Option<&'a str>,
    file: PasswordFile,
}

impl<'a> Passwords<'a> {
    fn load(parameters: &'a Parameters, environment: &Environment) -> Self {
        let given = parameters.get("password");
        let file = if given.is_some() { PasswordFile::default() } else { PasswordFile::load(parameters, environment) };
        Self { given, file }
    }

    fn of(&self, host: &Host, is_default: bool, [database, user]: [&str; 2]) -> Option<Secret> {
        let name = match &host.endpoint {
            _ if is_default => "localhost".to_owned(),
            Endpoint::Unix(directory) => directory.display().to_string(),
            Endpoint::Tcp { name: Some(name), .. } => name.clone(),
            Endpoint::Tcp { address, .. } => address.map(|address| address.to_string()).unwrap_or_default(),
        };
        let from_file = || self.file.password([&name, &host.port.to_string(), database, user]);
        self.given.or_else(from_file).map(|password| Secret(password.to_owned()))
    }
}

impl KeepAlive {
    fn resolve(parameters: &Parameters) -> Result<Self> {
        let positive = |keyword: &str| -> Result<Option<u64>> {
            let value = parameters.get(keyword).map(|text| integer(keyword, text)).transpose()?;
            Ok(value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0))
        };
        Ok(Self {
            disabled: parameters.get("keepalives").map_or(Ok(1), |text| integer("keepalives", text))? == 0,
            idle: positive("keepalives_idle")?.map(Duration::from_secs),
            interval: positive("keepalives_interval")?.map(Duration::from_secs),
            count: positive("keepalives_count")?.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
            user_timeout: positive("tcp_user_timeout")?.map(Duration::from_millis),
        })
    }
}

impl TargetSession {
    fn parse(text: &str) -> Result<Self> {
        let choices = [
            ("any", Self::Any),
            ("read-write", Self::ReadWrite),
            ("read-only", Self::ReadOnly),
            ("primary", Self::Primary),
            ("standby", Self::Standby),
            ("prefer-standby", Self::PreferStandby),
        ];
        choose("target_session_attrs", text, &choices)
    }
}
