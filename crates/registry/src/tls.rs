//! The connection's certificates, and what is wrong with them.

use std::path::Path;

use ductstream_core::{Error, Result};
use reqwest::{Certificate, ClientBuilder, Identity};

use crate::settings::RegistryTls;

/// Adds the certificates to the client. Files are read now.
pub(crate) fn apply(mut builder: ClientBuilder, tls: &RegistryTls) -> Result<ClientBuilder> {
    if let Some(path) = &tls.ca {
        let authorities = Certificate::from_pem_bundle(&read("tls.ca", path)?).unwrap_or_default();
        if authorities.is_empty() {
            return Err(unusable("tls.ca", path, "holds no certificate in PEM"));
        }
        builder = builder.tls_certs_only(authorities);
    }
    if let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) {
        let mut pem = read("tls.certificate", certificate)?;
        pem.push(b'\n');
        pem.extend(read("tls.key", key)?);
        let identity = Identity::from_pem(&pem)
            .map_err(|_| unusable("tls.certificate", certificate, "and `tls.key` are no certificate and key in PEM"))?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| unusable(setting, path, &format!("cannot be read: {error}")))
}

fn unusable(setting: &str, path: &Path, what: &str) -> Error {
    Error::configuration(format!("schema_registry: the file {} of `{setting}` {what}", path.display()))
        .with_remedy("give the path of a PEM file that this process can read")
}

/// The fault of the certificates that made a request fail, if that is what did. Trying again changes nothing about it.
pub(crate) fn fault(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error's `source` skips the error that it was made of.
        let inner = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
