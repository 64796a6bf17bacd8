use ductstream_core::{Error, ErrorKind, Secret};
use ductstream_registry::{BasicAuth, RegistryClient, RegistrySettings};
use ductstream_testkit::postgres::Certificates;
use tempfile::TempDir;

use super::support::{Gate, ID, avro, client, tls_front};

const SECRET: &str = "hunter2";
/// `app:hunter2` as HTTP Basic has it.
const BASIC: &str = "Basic YXBwOmh1bnRlcjI=";

fn basic(password: &str) -> Option<BasicAuth> {
    Some(BasicAuth { username: "app".into(), password: Secret::new(password) })
}

fn shows_no_secret(error: &Error) {
    for secret in [SECRET, "YXBwOmh1bnRlcjI", "YXBwOndyb25n"] {
        assert!(!error.report().contains(secret) && !format!("{error:?}").contains(secret), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn user_and_password_open_the_registry_and_wrong_ones_are_a_wrong_setting() {
    let gate = Gate::demanding(Some(BASIC)).await;
    let right = client(|it| (it.url, it.basic_auth) = (gate.url(), basic(SECRET))).await;
    right.register("basic-value", &avro(ID)).await.unwrap();
    assert!(!format!("{right:?}").contains(SECRET));
    let wrong = client(|it| (it.url, it.basic_auth) = (gate.url(), basic("wrong"))).await;
    let error = wrong.register("basic-value", &avro(ID)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.report().contains("correct `schema_registry.basic_auth`"), "{}", error.report());
    shows_no_secret(&error);
    let none = client(|it| it.url = gate.url()).await.verify().await.unwrap_err();
    assert!(none.report().contains("give `schema_registry.basic_auth`"), "{}", none.report());
    // Nobody tries a password twice: it might lock the account.
    assert_eq!(gate.requests().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_registry_and_an_old_one_is_a_wrong_setting() {
    let gate = Gate::demanding(Some("Bearer hunter2")).await;
    let with = |token: &str| (gate.url(), Some(Secret::new(token)));
    client(|it| (it.url, it.bearer_token) = with(SECRET)).await.register("bearer-value", &avro(ID)).await.unwrap();
    let old = client(|it| (it.url, it.bearer_token) = with("hunter2-of-yesterday")).await;
    let error = old.register("bearer-value", &avro(ID)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.report().contains("renew `schema_registry.bearer_token`"), "{}", error.report());
    shows_no_secret(&error);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_with_a_password_does_not_show_it() {
    let gate = Gate::demanding(Some(BASIC)).await;
    let client = client(|it| (it.url, it.basic_auth) = (gate.url(), basic(SECRET))).await;
    gate.fail_next(&[500; 4]);
    shows_no_secret(&client.register("shown-value", &avro(ID)).await.unwrap_err());
    gate.fail_next(&[422]);
    shows_no_secret(&client.register("shown-value", &avro(ID)).await.unwrap_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_own_is_trusted_when_it_is_named() {
    let (directory, certificates) = files(Certificates::generate());
    let url = tls_front(&certificates, None).await;
    let with = |ca: Option<&str>| {
        let mut settings = RegistrySettings::new(&url);
        settings.tls.ca = ca.map(|name| directory.path().join(name));
        RegistryClient::new(settings)
    };
    with(Some("authority.pem")).unwrap().register("tls-value", &avro(ID)).await.unwrap();
    let error = with(None).unwrap().register("tls-value", &avro(ID)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{}", error.report());
    assert!(error.report().contains("set `schema_registry.tls.ca`"), "{}", error.report());
    let key = with(Some("client.key")).unwrap_err();
    assert!(key.report().contains("`tls.ca` holds no certificate"), "{}", key.report());
    let missing = with(Some("missing.pem")).unwrap_err();
    assert!(missing.report().contains("missing.pem"), "{}", missing.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_is_refused() {
    let (directory, certificates) = files(Certificates::for_names(&["registry.example"]));
    let mut settings = RegistrySettings::new(tls_front(&certificates, None).await);
    settings.tls.ca = Some(directory.path().join("authority.pem"));
    let error = RegistryClient::new(settings).unwrap().verify().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{}", error.report());
    assert!(error.report().contains("registry.example"), "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_its_certificate_when_the_registry_asks_for_it() {
    let (directory, certificates) = files(Certificates::generate());
    let mut settings = RegistrySettings::new(tls_front(&certificates, Some(&certificates.authority)).await);
    settings.tls.ca = Some(directory.path().join("authority.pem"));
    let error = RegistryClient::new(settings.clone()).unwrap().verify().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{}", error.report());
    assert!(error.report().contains("`tls.certificate`"), "{}", error.report());
    settings.tls.certificate = Some(directory.path().join("client.pem"));
    settings.tls.key = Some(directory.path().join("client.key"));
    RegistryClient::new(settings).unwrap().register("mutual-value", &avro(ID)).await.unwrap();
}

fn files(certificates: Certificates) -> (TempDir, Certificates) {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("authority.pem", &certificates.authority),
        ("client.pem", &certificates.client),
        ("client.key", &certificates.client_key),
    ] {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    (directory, certificates)
}
