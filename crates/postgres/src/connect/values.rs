//! Values of single parameters.

use ductstream_core::{Error, Result};

/// Whether SCRAM is bound to the TLS channel (`channel_binding`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where the server offers it.
    #[default]
    Prefer,
    /// A server that does not authenticate with it is refused.
    Require,
}

impl ChannelBinding {
    pub(super) fn parse(text: &str) -> Result<Self> {
        choose(
            "channel_binding",
            text,
            &[("disable", Self::Disable), ("prefer", Self::Prefer), ("require", Self::Require)],
        )
    }
}

/// How a server authenticates a client, in the words of `require_auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// The password in clear.
    Password,
    /// The password hashed by MD5.
    Md5,
    /// GSSAPI.
    Gss,
    /// SSPI.
    Sspi,
    /// SCRAM-SHA-256, with or without channel binding.
    ScramSha256,
    /// An OAuth bearer token.
    OAuth,
    /// The server asks for nothing.
    None,
}

const METHODS: [(&str, AuthMethod); 7] = [
    ("password", AuthMethod::Password),
    ("md5", AuthMethod::Md5),
    ("gss", AuthMethod::Gss),
    ("sspi", AuthMethod::Sspi),
    ("scram-sha-256", AuthMethod::ScramSha256),
    ("oauth", AuthMethod::OAuth),
    ("none", AuthMethod::None),
];

impl AuthMethod {
    /// The method's name in `require_auth`.
    pub fn as_str(self) -> &'static str {
        METHODS.iter().find(|(_, method)| *method == self).map_or("none", |(name, _)| name)
    }
}

/// Which authentication methods are taken (`require_auth`). Unlike in libpq, the default takes no method that shows the
/// password, or a hash that is as good as it, to whoever answers: only `scram-sha-256` and `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequireAuth(Vec<AuthMethod>);

impl Default for RequireAuth {
    fn default() -> Self {
        Self(vec![AuthMethod::ScramSha256, AuthMethod::None])
    }
}

impl RequireAuth {
    /// Reads `method,method` or `!method,!method`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let names: Vec<_> = text.split(',').map(str::trim).collect();
        let negated = names.iter().filter(|name| name.starts_with('!')).count();
        if negated != 0 && negated != names.len() {
            return Err(Error::configuration(format!(
                "require_auth: {text:?} mixes methods to take and methods to refuse"
            ))
            .with_remedy("write ! before each method, or before none"));
        }
        let named = names
            .iter()
            .map(|name| choose("require_auth", name.trim_start_matches('!'), &METHODS))
            .collect::<Result<Vec<_>>>()?;
        let taken = |method: &AuthMethod| named.contains(method) == (negated == 0);
        Ok(Self(METHODS.iter().map(|(_, method)| *method).filter(taken).collect()))
    }

    /// Whether `method` is taken.
    pub fn allows(&self, method: AuthMethod) -> bool {
        self.0.contains(&method)
    }
}

/// The choice that `text` names.
pub(super) fn choose<T: Copy>(keyword: &str, text: &str, choices: &[(&str, T)]) -> Result<T> {
    choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        Error::configuration(format!("{keyword}: there is no value {text:?}"))
            .with_remedy(format!("set {keyword} to {}", one_of(&names)))
    })
}

fn one_of(names: &[&str]) -> String {
    match names {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        names => names.concat(),
    }
}

/// `text` as a whole number.
pub(super) fn integer(keyword: &str, text: &str) -> Result<i64> {
    text.trim().parse().map_err(|_| {
        Error::configuration(format!("{keyword}: {text:?} is not a whole number"))
            .with_remedy(format!("set {keyword} to a whole number"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn require_auth_takes_what_it_names_or_all_but_what_it_negates() {
        use AuthMethod::{Md5, None, Password, ScramSha256};
        let table = [
            ("md5", vec![Md5], vec![Password, ScramSha256, None]),
            ("scram-sha-256, none", vec![ScramSha256, None], vec![Password, Md5]),
            ("!password,!md5", vec![ScramSha256, None], vec![Password, Md5]),
            ("!none", vec![ScramSha256, Password, Md5], vec![None]),
        ];
        for (text, taken, refused) in table {
            let policy = RequireAuth::parse(text).unwrap();
            assert!(taken.iter().all(|method| policy.allows(*method)), "{text}");
            assert!(!refused.iter().any(|method| policy.allows(*method)), "{text}");
        }
        assert_eq!(
            RequireAuth::default(),
            RequireAuth::parse("none,scram-sha-256").map(|_| RequireAuth::default()).unwrap()
        );
        assert!(!RequireAuth::default().allows(Md5) && !RequireAuth::default().allows(Password));
        for text in ["md5,!none", "kerberos", ""] {
            assert!(RequireAuth::parse(text).is_err(), "{text}");
        }
    }
}
