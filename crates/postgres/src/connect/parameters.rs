//! The connection parameters that libpq knows, and which of them have a meaning here.

use std::collections::BTreeMap;

use ductstream_core::{Error, Result};

use super::environment::Environment;

/// How a parameter is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Support {
    /// It does what it does in libpq.
    Full,
    /// Only these values, which ask for nothing that is not there.
    Only(&'static [&'static str]),
}

/// One parameter: its keyword, the variable that sets it, and how it is taken.
struct Parameter {
    keyword: &'static str,
    variable: Option<&'static str>,
    support: Support,
}

const fn full(keyword: &'static str, variable: &'static str) -> Parameter {
    Parameter { keyword, variable: Some(variable), support: Support::Full }
}

const fn unset(keyword: &'static str) -> Parameter {
    Parameter { keyword, variable: None, support: Support::Full }
}

const fn only(keyword: &'static str, variable: Option<&'static str>, values: &'static [&'static str]) -> Parameter {
    Parameter { keyword, variable, support: Support::Only(values) }
}

/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>
const PARAMETERS: &[Parameter] = &[
    full("service", "PGSERVICE"),
    full("servicefile", "PGSERVICEFILE"),
    full("host", "PGHOST"),
    full("hostaddr", "PGHOSTADDR"),
    full("port", "PGPORT"),
    full("dbname", "PGDATABASE"),
    full("user", "PGUSER"),
    full("password", "PGPASSWORD"),
    full("passfile", "PGPASSFILE"),
    full("require_auth", "PGREQUIREAUTH"),
    full("channel_binding", "PGCHANNELBINDING"),
    full("connect_timeout", "PGCONNECT_TIMEOUT"),
    full("options", "PGOPTIONS"),
    full("application_name", "PGAPPNAME"),
    unset("fallback_application_name"),
    unset("keepalives"),
    unset("keepalives_idle"),
    unset("keepalives_interval"),
    unset("keepalives_count"),
    unset("tcp_user_timeout"),
    full("sslmode", "PGSSLMODE"),
    full("sslnegotiation", "PGSSLNEGOTIATION"),
    full("sslrootcert", "PGSSLROOTCERT"),
    full("sslcert", "PGSSLCERT"),
    full("sslkey", "PGSSLKEY"),
    full("sslsni", "PGSSLSNI"),
    full("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    full("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    full("target_session_attrs", "PGTARGETSESSIONATTRS"),
    full("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    only("sslcertmode", Some("PGSSLCERTMODE"), &["allow", "disable"]),
    only("client_encoding", None, &["UTF8", "utf8", "UTF-8", "auto"]),
    only("gssencmode", Some("PGGSSENCMODE"), &["disable", "prefer"]),
    only("gssdelegation", Some("PGGSSDELEGATION"), &["0"]),
    only("sslcompression", Some("PGSSLCOMPRESSION"), &["0"]),
    only("min_protocol_version", Some("PGMINPROTOCOLVERSION"), &["3.0"]),
    only("max_protocol_version", Some("PGMAXPROTOCOLVERSION"), &["3.0", "3.2", "latest"]),
    only("requirepeer", Some("PGREQUIREPEER"), &[]),
    only("sslcrl", Some("PGSSLCRL"), &[]),
    only("sslcrldir", Some("PGSSLCRLDIR"), &[]),
    only("sslpassword", None, &[]),
    only("sslkeylogfile", None, &[]),
    only("krbsrvname", None, &[]),
    only("gsslib", None, &[]),
    only("replication", None, &[]),
    only("scram_client_key", None, &[]),
    only("scram_server_key", None, &[]),
    only("oauth_issuer", None, &[]),
    only("oauth_client_id", None, &[]),
    only("oauth_client_secret", None, &[]),
    only("oauth_scope", None, &[]),
];

/// Keyword to value, of known parameters with values that have a meaning here.
#[derive(Default)]
pub(super) struct Parameters(BTreeMap<&'static str, String>);

impl Parameters {
    /// Sets `keyword` as a user wrote it; a later value replaces an earlier one. `place` is where it was written.
    pub(super) fn set(&mut self, keyword: &str, value: String, place: &str) -> Result<()> {
        let parameter = lookup(keyword, place)?;
        check(parameter, &value, &format!("{keyword} in {place}"))?;
        self.0.insert(parameter.keyword, value);
        Ok(())
    }

    /// Takes over what is not set yet from `other`.
    pub(super) fn fill_from(&mut self, other: Self) {
        for (keyword, value) in other.0 {
            self.0.entry(keyword).or_insert(value);
        }
    }

    /// Takes over what is not set yet from the `PG*` variables.
    pub(super) fn fill_from_environment(&mut self, environment: &Environment) -> Result<()> {
        for parameter in PARAMETERS {
            let Some(variable) = parameter.variable else { continue };
            if let Some(value) = environment.variable(variable)
                && !self.0.contains_key(parameter.keyword)
            {
                check(parameter, value, &format!("the environment variable {variable}"))?;
                self.0.insert(parameter.keyword, value.to_owned());
            }
        }
        Ok(())
    }

    /// The value of `keyword`; an empty one counts as none, as in libpq.
    pub(super) fn get(&self, keyword: &str) -> Option<&str> {
        debug_assert!(PARAMETERS.iter().any(|parameter| parameter.keyword == keyword), "{keyword}");
        self.0.get(keyword).map(String::as_str).filter(|value| !value.is_empty())
    }
}

fn lookup(keyword: &str, place: &str) -> Result<&'static Parameter> {
    PARAMETERS.iter().find(|parameter| parameter.keyword == keyword).ok_or_else(|| {
        // A URL of another kind ends up here, too, and may hold a password: only what looks like a name is repeated.
        if !keyword.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
            return Error::configuration(format!("{place} cannot be read: what stands before = is no parameter name"))
                .with_remedy("write postgresql://user@host:port/dbname, or keyword=value pairs");
        }
        let error = Error::configuration(format!("unknown connection parameter {keyword:?} in {place}"));
        let near = PARAMETERS
            .iter()
            .map(|parameter| (strsim::damerau_levenshtein(parameter.keyword, keyword), parameter.keyword))
            .min()
            .filter(|(distance, name)| *distance <= name.len().div_ceil(2));
        match near {
            Some((_, name)) => error.with_remedy(format!("write {name:?}, if that is what was meant")),
            None => error.with_remedy("take the parameter out"),
        }
    })
}

fn check(parameter: &Parameter, value: &str, place: &str) -> Result<()> {
    match parameter.support {
        Support::Only(values) if !value.is_empty() && !values.contains(&value) => {
            let remedy = match values {
                [] => "leave it out".to_owned(),
                values => format!("leave it out, or set it to {}", values.join(" or ")),
            };
            Err(Error::configuration(format!("{place}: this value is not supported")).with_remedy(remedy))
        }
        _ => Ok(()),
    }
}
