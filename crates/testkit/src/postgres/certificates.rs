//! TLS certificates of a test's own authority.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};

/// An authority and what it signed, as PEM.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The authority's certificate: what a client trusts.
    pub authority: String,
    /// The server's certificate, for `localhost` and `127.0.0.1`.
    pub server: String,
    /// The server's private key.
    pub server_key: String,
    /// A client certificate for the role `postgres`.
    pub client: String,
    /// The client's private key.
    pub client_key: String,
}

impl Certificates {
    /// A fresh authority with a server and a client certificate.
    pub fn generate() -> Self {
        Self::for_names(&["localhost", "127.0.0.1"])
    }

    /// The same with a server certificate for other names, to test what a client refuses.
    pub fn for_names(names: &[&str]) -> Self {
        Self::made(names, false)
    }

    /// The same with a server certificate that held until some years ago.
    pub fn expired() -> Self {
        Self::made(&["localhost", "127.0.0.1"], true)
    }

    fn made(names: &[&str], is_expired: bool) -> Self {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "DuctStream test authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = key();
        let certificate = authority.self_signed(&key).expect("the authority's parameters are valid");
        let issuer = Issuer::new(authority, key);
        let (server, server_key) = signed(&issuer, names, "localhost", is_expired);
        let (client, client_key) = signed(&issuer, &[], "postgres", false);
        Self { authority: certificate.pem(), server, server_key, client, client_key }
    }
}

fn signed(issuer: &Issuer<'_, KeyPair>, names: &[&str], common_name: &str, is_expired: bool) -> (String, String) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut parameters = CertificateParams::new(names).expect("the names are DNS names or addresses");
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    if is_expired {
        parameters.not_after = date_time_ymd(2020, 1, 1);
    }
    let key = key();
    let certificate = parameters.signed_by(&key, issuer).expect("the authority can sign");
    (certificate.pem(), key.serialize_pem())
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the system gives randomness")
}
