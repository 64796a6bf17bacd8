//! The proxy, in front of a real server.

use std::time::Duration;

use ductstream_testkit::postgres::Postgres;
use ductstream_testkit::proxy::TcpProxy;
use tokio_postgres::{Client, NoTls};

async fn through(proxy: &TcpProxy) -> Result<Client, tokio_postgres::Error> {
    let url = format!("postgresql://postgres@127.0.0.1:{}/postgres", proxy.port());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn proxied() -> TcpProxy {
    let cluster = Postgres::version(14).await;
    TcpProxy::start(([127, 0, 0, 1], cluster.port()).into()).await
}

#[tokio::test]
async fn a_cut_closes_open_connections_and_welcomes_new_ones() {
    let proxy = proxied().await;
    let client = through(&proxy).await.unwrap();
    client.simple_query("select 1").await.unwrap();
    proxy.cut();
    assert!(client.simple_query("select 1").await.is_err());
    through(&proxy).await.unwrap().simple_query("select 1").await.unwrap();
    assert_eq!(proxy.accepted(), 2);
}

#[tokio::test]
async fn a_stall_delays_bytes_without_losing_the_connection() {
    let proxy = proxied().await;
    let client = through(&proxy).await.unwrap();
    proxy.stall();
    let answer = client.simple_query("select 1");
    tokio::pin!(answer);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut answer).await.is_err());
    proxy.resume();
    answer.await.unwrap();
}

#[tokio::test]
async fn a_refusing_proxy_behaves_like_a_server_that_is_down() {
    let proxy = proxied().await;
    let client = through(&proxy).await.unwrap();
    proxy.refuse();
    assert!(client.simple_query("select 1").await.is_err());
    assert!(through(&proxy).await.is_err());
    proxy.resume();
    through(&proxy).await.unwrap();
}
