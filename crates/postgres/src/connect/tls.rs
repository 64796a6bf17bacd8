//! TLS: what is verified, and what SCRAM is bound to.

use std::sync::Arc;

use ductstream_core::{Error, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;

use super::ssl::{ClientCertificate, Roots, SslMode, SslSettings, TlsVersion};

/// The protocol name that a server on the PostgreSQL port agrees to (PostgreSQL 17 and later).
pub(super) const ALPN: &[u8] = b"postgresql";

/// The client side of TLS as `settings` ask for it. Reads the certificate files.
///
/// # Errors
/// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) naming the file that cannot be used.
pub(super) fn client_config(settings: &SslSettings) -> Result<ClientConfig> {
    // Named, not taken from the process's default: which provider that is depends on what else is linked in.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new(settings, &provider)?;
    let all = [(TlsVersion::Tls12, &rustls::version::TLS12), (TlsVersion::Tls13, &rustls::version::TLS13)];
    let [lowest, highest] = settings.versions;
    let versions: Vec<_> =
        all.iter().filter(|(version, _)| (lowest..=highest).contains(version)).map(|(_, version)| *version).collect();
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|error| Error::bug("cannot set up TLS").with_source(error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &settings.client {
        Some(client) => {
            let (chain, key) = client.load()?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                Error::configuration(format!("cannot use the client certificate {}", client.certificate.display()))
                    .with_source(error)
                    .with_remedy("set sslcert and sslkey to a certificate and its own private key")
            })?
        }
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = settings.server_name_indication;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

impl ClientCertificate {
    fn load(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let chain = certificates(&self.certificate, "sslcert")?;
        self.check_key_permissions()?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| {
            Error::configuration(format!("cannot read the private key {}", self.key.display()))
                .with_source(error)
                .with_remedy("set sslkey to an unencrypted private key in PEM form")
        })?;
        Ok((chain, key))
    }

    /// As libpq: only the owner may read the key, and its group too when it belongs to root.
    fn check_key_permissions(&self) -> Result<()> {
        use std::os::unix::fs::MetadataExt;
        let Ok(metadata) = std::fs::metadata(&self.key) else { return Ok(()) };
        let forbidden = if metadata.uid() == 0 { 0o027 } else { 0o077 };
        if metadata.mode() & forbidden == 0 {
            return Ok(());
        }
        let key = self.key.display();
        Err(Error::configuration(format!("others may read the private key {key}"))
            .with_remedy(format!("run chmod 0600 {key}")))
    }
}

fn certificates(path: &std::path::Path, keyword: &str) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let problem = match read {
        Ok(certificates) if !certificates.is_empty() => return Ok(certificates),
        Ok(_) => Error::configuration(format!("{keyword}: there is no certificate in {}", path.display())),
        Err(error) => Error::configuration(format!("{keyword}: cannot read {}", path.display())).with_source(error),
    };
    Err(problem.with_remedy(format!("set {keyword} to a file of certificates in PEM form")))
}

/// Verifies as much of the server as `sslmode` says: nothing, the chain, or the chain and the host name.
#[derive(Debug)]
struct Verifier {
    /// `None` verifies nothing about the certificate; that the server holds its key is always verified.
    roots: Option<TrustedRoots>,
    name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct TrustedRoots {
    store: RootCertStore,
    /// The certificates themselves: a server may present one of them as its own (self-signed), which OpenSSL takes and
    /// webpki, which wants an issuer, does not.
    own: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(settings: &SslSettings, provider: &CryptoProvider) -> Result<Self> {
        let roots = match &settings.roots {
            Roots::None(_) => None,
            Roots::File(path) => Some(TrustedRoots::new(certificates(path, "sslrootcert")?)),
            Roots::System => Some(TrustedRoots::system()?),
        };
        Ok(Self {
            roots,
            name: settings.mode == SslMode::VerifyFull,
            algorithms: provider.signature_verification_algorithms,
        })
    }
}

impl TrustedRoots {
    fn new(own: Vec<CertificateDer<'static>>) -> Self {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(own.iter().cloned());
        Self { store, own }
    }

    fn system() -> Result<Self> {
        let loaded = rustls_native_certs::load_native_certs();
        if loaded.certs.is_empty() {
            return Err(Error::configuration("sslrootcert=system: the system has no root certificates")
                .with_remedy("install the ca-certificates package, or set sslrootcert to a file"));
        }
        Ok(Self::new(loaded.certs))
    }

    fn verify(&self, chain: &Chain<'_, '_>, algorithms: WebPkiSupportedAlgorithms) -> Result<(), rustls::Error> {
        let [certificate, others @ ..] = chain.certificates else {
            return Err(CertificateError::BadEncoding.into());
        };
        if self.own.iter().any(|own| own == certificate) {
            return within_validity(certificate, chain.now);
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.store, others, chain.now, algorithms.all)
    }
}

/// What a server presented: its own certificate first.
struct Chain<'a, 'b> {
    certificates: &'a [CertificateDer<'b>],
    now: UnixTime,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let mut certificates = vec![end_entity.clone()];
            certificates.extend(intermediates.iter().cloned());
            roots.verify(&Chain { certificates: &certificates, now }, self.algorithms)?;
            if self.name {
                verify_name(end_entity, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, rustls::Error> {
    let parsed = X509Certificate::from_der(certificate.as_ref());
    parsed.map(|(_, certificate)| certificate).map_err(|_| CertificateError::BadEncoding.into())
}

fn within_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let now = ASN1Time::from_timestamp(seconds).map_err(|_| rustls::Error::FailedToGetCurrentTime)?;
    let parsed = parse(certificate)?;
    let validity = parsed.validity();
    if now < validity.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// Whether `certificate` is for `name`: by its alternative names, and by its common name when it has none, as libpq
/// does.
fn verify_name(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), rustls::Error> {
    let refused = match verify_server_name(&ParsedCertificate::try_from(certificate)?, name) {
        Ok(()) => return Ok(()),
        Err(refused) => refused,
    };
    let parsed = parse(certificate)?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let has_names = names.is_some_and(|names| {
        let decides = |name: &GeneralName<'_>| matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_));
        names.value.general_names.iter().any(decides)
    });
    let common = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    match common {
        Some(common) if !has_names && matches_common_name(common, &name.to_str()) => Ok(()),
        _ => Err(refused),
    }
}

/// A common name may start with `*.`, which stands for exactly one label.
fn matches_common_name(common: &str, host: &str) -> bool {
    match common.strip_prefix("*.") {
        Some(domain) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain)),
        None => common.eq_ignore_ascii_case(host),
    }
}

/// The `tls-server-end-point` channel binding of RFC 5929: the certificate's hash by its own signature's hash function,
/// SHA-256 in place of MD5 and SHA-1. `None` where that is not defined (Ed25519).
pub(super) fn channel_binding(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let parsed = parse(certificate).ok()?;
    let oid = match SignatureAlgorithm::try_from(&parsed.signature_algorithm).ok()? {
        SignatureAlgorithm::RSASSA_PSS(parameters) => parameters.hash_algorithm_oid().to_id_string(),
        _ => parsed.signature_algorithm.algorithm.to_id_string(),
    };
    let hash = match oid.as_str() {
        // Hashes by themselves (RSA-PSS): SHA-1, SHA-256, SHA-384, SHA-512.
        "1.3.14.3.2.26" | "2.16.840.1.101.3.4.2.1" => SHA256,
        "2.16.840.1.101.3.4.2.2" => SHA384,
        "2.16.840.1.101.3.4.2.3" => SHA512,
        // RSA with MD5, SHA-1, SHA-256, SHA-384, SHA-512.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.113549.1.1.11" => SHA256,
        "1.2.840.113549.1.1.12" => SHA384,
        "1.2.840.113549.1.1.13" => SHA512,
        // ECDSA with SHA-1, SHA-256, SHA-384, SHA-512.
        "1.2.840.10045.4.1" | "1.2.840.10045.4.3.2" => SHA256,
        "1.2.840.10045.4.3.3" => SHA384,
        "1.2.840.10045.4.3.4" => SHA512,
        _ => return None,
    };
    Some(hash(certificate.as_ref()))
}

/// A hash function.
type Hash = fn(&[u8]) -> Vec<u8>;

const SHA256: Hash = |bytes| Sha256::digest(bytes).to_vec();
const SHA384: Hash = |bytes| Sha384::digest(bytes).to_vec();
const SHA512: Hash = |bytes| Sha512::digest(bytes).to_vec();
