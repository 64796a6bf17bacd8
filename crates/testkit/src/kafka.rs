//! A real Kafka broker: one per test process, topics of a test's own, and a reader that is not ours.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ductstream_cluster::{Broker, BrokerOptions};
use ductstream_core::Position;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::postgres::Certificates;
use crate::python;

/// User and password of SASL at a broker with a secured listener.
pub const USER: (&str, &str) = ("app", "app-secret");

/// How much longer the tokens of [`TokenEndpoint`] hold than it says.
const GRACE_SECONDS: u64 = 30;

/// A broker that may be killed and started. It ends with the value, or with the test process.
pub struct Kafka {
    broker: Mutex<Broker>,
    address: String,
    secured: Option<(String, Certificates)>,
}

/// A token endpoint for [`USER`] as the client, over HTTP. Ends with the process.
pub struct TokenEndpoint {
    address: SocketAddr,
    asked: Arc<AtomicU32>,
}

impl TokenEndpoint {
    /// Starts it. Its tokens hold for this many seconds, it says.
    pub fn start(seconds: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("the listener's address");
        let asked = Arc::<AtomicU32>::default();
        let count = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::Relaxed);
                answer(stream.expect("a connection"), seconds);
            }
        });
        Self { address, asked }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// How often it was asked.
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

fn answer(mut stream: TcpStream, seconds: u64) {
    let mut request = String::new();
    let mut lines = BufReader::new(&stream);
    while !request.ends_with("\r\n\r\n") && lines.read_line(&mut request).is_ok_and(|bytes| bytes > 0) {}
    let (user, secret) = USER;
    let (status, body) = if request.contains(&format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{secret}")))) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later").as_secs();
        let part = |claims: Value| BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        // On a busy machine a token may arrive late.
        let claims = json!({"sub": user, "iat": now, "exp": now + seconds + GRACE_SECONDS});
        let token = format!("{}.{}.", part(json!({"alg": "none"})), part(claims));
        ("200 OK", json!({"access_token": token, "token_type": "Bearer", "expires_in": seconds}))
    } else {
        ("401 Unauthorized", json!({"error": "invalid_client"}))
    };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
    // A client that has gone does not want it.
    let _ = write!(stream, "{head}\r\nConnection: close\r\n\r\n{body}");
}

/// A message as the independent reader found it.
#[derive(Debug, Clone)]
pub struct Message(Value);

impl Kafka {
    /// The broker that all tests of this process share, with a secured listener, which is never killed.
    pub fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Kafka>> = OnceLock::new();
        SHARED.get_or_init(|| Arc::new(Self::secured())).clone()
    }

    /// A broker of the test's own.
    pub fn start() -> Self {
        Self::with(BrokerOptions::default(), None)
    }

    /// A broker with a second listener, for TLS with passwords by PLAIN and SCRAM-SHA-512, and with tokens.
    pub fn secured() -> Self {
        Self::secured_by(Certificates::generate())
    }

    /// The same with certificates that the test chooses.
    pub fn secured_by(certificates: Certificates) -> Self {
        let (user, password) = USER;
        let listener = |name: &str| format!("listener.name.sasl_ssl.{name}");
        let module = "org.apache.kafka.common.security";
        let settings = [
            ("sasl.enabled.mechanisms".to_owned(), "PLAIN,SCRAM-SHA-512,OAUTHBEARER".to_owned()),
            // Takes tokens that nobody has signed.
            (
                listener("oauthbearer.sasl.jaas.config"),
                format!(
                    "{module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";"
                ),
            ),
            (
                listener("plain.sasl.jaas.config"),
                format!("{module}.plain.PlainLoginModule required user_{user}=\"{password}\";"),
            ),
            (listener("scram-sha-512.sasl.jaas.config"), format!("{module}.scram.ScramLoginModule required;")),
            ("ssl.keystore.type".to_owned(), "PEM".to_owned()),
            ("ssl.keystore.certificate.chain".to_owned(), certificates.server.clone()),
            ("ssl.keystore.key".to_owned(), certificates.server_key.clone()),
        ];
        let scram_users = vec![("SCRAM-SHA-512".to_owned(), user.to_owned(), password.to_owned())];
        let options = BrokerOptions { settings: settings.into(), scram_users, is_secured: true, is_long_lived: false };
        Self::with(options, Some(certificates))
    }

    fn with(options: BrokerOptions, certificates: Option<Certificates>) -> Self {
        let broker = Broker::create(&options).unwrap_or_else(|error| panic!("{error}"));
        let address = broker.address();
        let secured = broker.secured_address().zip(certificates);
        Self { broker: Mutex::new(broker), address, secured }
    }

    /// The listener without TLS: `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The listener with TLS and passwords.
    pub fn secured_address(&self) -> &str {
        self.secured.as_ref().map(|(address, _)| address).expect("the broker has a secured listener")
    }

    /// The authority of the secured listener, as PEM.
    pub fn authority(&self) -> &str {
        self.secured
            .as_ref()
            .map(|(_, certificates)| &certificates.authority)
            .expect("the broker has a secured listener")
    }

    /// A name that no other test has: what topics begin with.
    pub fn prefix(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        format!("t{}.", NUMBER.fetch_add(1, Ordering::Relaxed))
    }

    /// Kills the broker, as a crash would.
    pub fn kill(&self) {
        self.broker.lock().kill().expect("the broker can be killed");
    }

    /// Starts a killed broker, at the address that it had.
    pub fn restart(&self) {
        self.broker.lock().start().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Stops (`STOP`) or wakes (`CONT`) the broker's process.
    pub fn signal(&self, signal: &str) {
        self.broker.lock().signal(signal).expect("the broker runs");
    }

    /// Runs one of Kafka's own programs, by the name of its class, and returns what it printed.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> String {
        let mut java = self.broker.lock().java(class);
        let output = java.args(arguments).output().expect("java runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{class} {arguments:?} failed:\n{said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Creates a topic with these settings.
    pub fn create_topic(&self, topic: &str, partitions: u32, config: &[(&str, &str)]) {
        let count = partitions.to_string();
        let config: Vec<String> = config.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut arguments =
            vec!["--bootstrap-server", &self.address, "--create", "--topic", topic, "--partitions", &count];
        arguments.extend(config.iter().flat_map(|setting| ["--config", setting]));
        self.tool("org.apache.kafka.tools.TopicCommand", &arguments);
    }

    /// Gives a topic more partitions.
    pub fn add_partitions(&self, topic: &str, count: u32) {
        let count = count.to_string();
        let arguments = ["--bootstrap-server", &self.address, "--alter", "--topic", topic, "--partitions", &count];
        self.tool("org.apache.kafka.tools.TopicCommand", &arguments);
    }

    /// Sets a topic's configuration.
    pub fn set_topic(&self, topic: &str, name: &str, value: &str) {
        let setting = format!("{name}={value}");
        let of = ["--bootstrap-server", &self.address, "--entity-type", "topics", "--entity-name", topic];
        self.tool("kafka.admin.ConfigCommand", &[&of[..], &["--alter", "--add-config", &setting]].concat());
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, topic: &str) {
        let arguments = ["--bootstrap-server", &self.address, "--delete", "--topic", topic];
        self.tool("org.apache.kafka.tools.TopicCommand", &arguments);
    }

    /// Sends lines of a key, a tab and a value by Kafka's own producer.
    pub fn produce(&self, topic: &str, lines: &str) {
        let mut java = self.broker.lock().java("org.apache.kafka.tools.ConsoleProducer");
        java.args(["--bootstrap-server", &self.address, "--topic", topic, "--reader-property", "parse.key=true"]);
        let mut child = java.stdin(Stdio::piped()).spawn().expect("java runs");
        child.stdin.take().expect("it is piped").write_all(lines.as_bytes()).expect("the producer reads");
        assert!(child.wait().expect("a child can be waited for").success(), "Kafka's producer failed");
    }

    /// Every message of the topics that is committed, partition by partition, read by Confluent's Python client.
    pub fn read(&self, topics: &[&str]) -> Vec<Message> {
        let configuration = json!({"bootstrap.servers": self.address, "isolation.level": "read_committed"}).to_string();
        let mut arguments = vec![configuration.as_str()];
        arguments.extend(topics);
        let printed = python::run(include_str!("kafka/read.py"), &arguments);
        printed.lines().map(|line| Message(serde_json::from_str(line).expect("the reader prints JSON"))).collect()
    }
}

impl Message {
    /// The partition.
    pub fn partition(&self) -> i64 {
        self.0["partition"].as_i64().expect("a partition")
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        self.0["topic"].as_str().expect("a topic")
    }

    /// The key as text.
    pub fn key(&self) -> Option<&str> {
        self.0["key"].as_str()
    }

    /// The value as JSON; `None` of a tombstone.
    pub fn value(&self) -> Option<Value> {
        let text = self.0["value"].as_str()?;
        Some(serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0["headers"][name].as_str()
    }

    /// The position in the headers.
    pub fn position(&self) -> Position {
        let text = self.header("ductstream.position").expect("a header with the position");
        let (lsn, seq) = text.split_once('+').expect("LSN and index");
        Position::new(lsn.parse().expect("an LSN"), seq.parse().expect("an index"))
    }
}
