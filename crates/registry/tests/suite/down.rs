use ductstream_core::ErrorKind;

use super::support::{Gate, ID, avro, client};

/// An address at which nothing listens: the port was free a moment ago, and is kept from others.
fn nobody() -> (std::net::TcpListener, String) {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    // Bound to one loopback address, asked for at another.
    (taken, format!("http://127.0.0.2:{}", address.port()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_down_is_tried_a_bounded_time_and_then_by_the_flow() {
    let (_taken, url) = nobody();
    let client = client(|it| it.url = url.clone()).await;
    let started = std::time::Instant::now();
    let error = client.register("down-value", &avro(ID)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{}", error.report());
    for part in [url.as_str(), "does not answer", "start the schema registry"] {
        assert!(error.report().contains(part), "{part}: {}", error.report());
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(30));
    assert_eq!(client.verify().await.unwrap_err().kind(), ErrorKind::Retry);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_registry_is_asked_when_one_is_down_and_stays_the_first() {
    let (_taken, dead) = nobody();
    let (gate, failing) = (Gate::open().await, Gate::open().await);
    failing.fail_next(&[503, 503, 503]);
    let client = client(|it| it.url = format!("{dead}, {}, {}", failing.url(), gate.url())).await;
    client.register("failover-value", &avro(ID)).await.unwrap();
    client.register("failover-key", &avro(ID)).await.unwrap();
    assert_eq!(failing.requests().len(), 1);
    assert_eq!(gate.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_passes_is_not_seen() {
    let gate = Gate::open().await;
    gate.fail_next(&[500, 429, 503]);
    let client = client(|it| it.url = gate.url()).await;
    client.register("passes-value", &avro(ID)).await.unwrap();
    assert_eq!(gate.requests().len(), 4);
    // One that does not is the flow's to retry, and the next call asks anew.
    gate.fail_next(&[500; 4]);
    let error = client.register("passes-key", &avro(ID)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.report().contains("HTTP status 500"), "{}", error.report());
    client.register("passes-key", &avro(ID)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_registry_is_a_wrong_address() {
    let settings = client(|it| it.url = it.url.replace("/apis/ccompat/v7", "/nothing/here")).await;
    let error = settings.register("wrong-value", &avro(ID)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{}", error.report());
    assert!(error.report().contains("schema_registry.url"), "{}", error.report());
}
