//! The cluster's topics: which there are, and making those that are missing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use ductstream_core::{Error, Result, TableName};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::Metadata;

use crate::connection::Connection;
use crate::destination::blocking;
use crate::failure::{explain, explain_error};
use crate::limits;
use crate::settings::{CreateTopics, NewTopics, Property};
use crate::token::Tokens;

/// The topics that are known to exist.
pub(crate) struct Topics {
    connection: Arc<Connection>,
    create: CreateTopics,
    known: HashSet<String>,
}

impl Topics {
    pub(crate) fn new(connection: Arc<Connection>, create: CreateTopics, cluster: &Metadata) -> Self {
        Self { connection, create, known: names(cluster) }
    }

    /// Makes sure that a table's topic exists.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when it does not, and is not to be created.
    pub(crate) async fn ensure(&mut self, topic: &str, table: &TableName) -> Result<()> {
        if self.exists(topic).await? {
            return Ok(());
        }
        let CreateTopics::Yes(new) = self.create.clone() else {
            let message =
                format!("topic {topic} of {} does not exist, and table {table} belongs there", self.connection.place);
            return Err(Error::configuration(message)
                .with_remedy("create the topic, or set `create_topics: true`, or name another one under `topics`"));
        };
        tracing::info!(topic, %table, "creating a topic");
        self.make(topic, &new).await
    }

    /// Makes sure that the topic of the position exists.
    ///
    /// # Errors
    /// As [`ensure`](Self::ensure).
    pub(crate) async fn ensure_position(&mut self, topic: &str) -> Result<()> {
        if self.exists(topic).await? {
            return Ok(());
        }
        let CreateTopics::Yes(new) = self.create.clone() else {
            let message = format!(
                "topic {topic} of {} does not exist, and `exactly_once` keeps the position there",
                self.connection.place
            );
            return Err(Error::configuration(message).with_remedy(
                "create the topic with one partition and `cleanup.policy=compact`, or set `create_topics: true`",
            ));
        };
        let config = [("cleanup.policy".to_owned(), Property::new("compact"))].into();
        self.make(topic, &NewTopics { partitions: Some(1), config, ..new }).await
    }

    /// Makes sure that a topic exists in which a flow keeps things, for as long as they are wanted and however large they are.
    ///
    /// # Errors
    /// As [`ensure`](Self::ensure).
    pub(crate) async fn ensure_log(&mut self, topic: &str) -> Result<()> {
        if self.exists(topic).await? {
            return Ok(());
        }
        let CreateTopics::Yes(new) = self.create.clone() else {
            let message = format!("topic {topic} of {} does not exist", self.connection.place);
            return Err(Error::configuration(message).with_remedy(
                "create the topic with `retention.ms=-1` and a `max.message.bytes` that is large enough, or set `create_topics: true`",
            ));
        };
        let bytes = limits::LOG_MESSAGE_BYTES.to_string();
        let config = [("retention.ms", "-1"), ("max.message.bytes", bytes.as_str())];
        let config = config.map(|(name, value)| (name.to_owned(), Property::new(value))).into();
        self.make(topic, &NewTopics { partitions: Some(1), config, ..new }).await
    }

    async fn exists(&mut self, topic: &str) -> Result<bool> {
        if !self.known.contains(topic) {
            self.look().await?;
        }
        Ok(self.known.contains(topic))
    }

    async fn make(&mut self, topic: &str, new: &NewTopics) -> Result<()> {
        create(&self.connection, topic, new).await?;
        let deadline = Instant::now() + limits::CREATE_TIMEOUT;
        while !self.exists(topic).await? {
            if Instant::now() > deadline {
                let message = format!("topic {topic} was created, and {} does not show it", self.connection.place);
                return Err(Error::retry(message).with_remedy("look at the brokers' logs"));
            }
            tokio::time::sleep(limits::CREATED_PAUSE).await;
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<()> {
        let connection = self.connection.clone();
        self.known = names(&blocking(move || connection.cluster()).await?);
        Ok(())
    }
}

/// The topics that have a leader for every partition.
fn names(cluster: &Metadata) -> HashSet<String> {
    let whole = |topic: &&rdkafka::metadata::MetadataTopic| {
        topic.error().is_none()
            && !topic.partitions().is_empty()
            && topic.partitions().iter().all(|part| part.leader() >= 0)
    };
    cluster.topics().iter().filter(whole).map(|topic| topic.name().to_owned()).collect()
}

/// Creates a topic. One that exists by now is no error: another flow may have been faster.
async fn create(connection: &Connection, topic: &str, new: &NewTopics) -> Result<()> {
    let place = &connection.place;
    let doing = format!("create topic {topic} of");
    let number = |setting: Option<u16>| setting.map_or(-1, i32::from);
    let replicas = TopicReplication::Fixed(number(new.replication_factor));
    let mut wanted = NewTopic::new(topic, number(new.partitions), replicas);
    for (name, value) in &new.config {
        wanted = wanted.set(name, value.reveal());
    }
    let admin: AdminClient<DefaultClientContext> =
        connection.client.create().map_err(|error| explain_error(&error, &doing, place))?;
    let admin = authenticated(admin, connection.tokens.clone(), &doing, place).await?;
    let options = AdminOptions::new()
        .request_timeout(Some(limits::CREATE_TIMEOUT))
        .operation_timeout(Some(limits::CREATE_TIMEOUT));
    let results =
        admin.create_topics([&wanted], &options).await.map_err(|error| explain_error(&error, &doing, place))?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(explain(code, "", &doing, place)),
        }
    }
    Ok(())
}

/// The same client with a token, where there are tokens.
async fn authenticated(
    admin: AdminClient<DefaultClientContext>,
    tokens: Option<Tokens>,
    doing: &str,
    place: &str,
) -> Result<AdminClient<DefaultClientContext>> {
    let Some(tokens) = tokens else { return Ok(admin) };
    let (doing, place) = (doing.to_owned(), place.to_owned());
    blocking(move || {
        let given = tokens.give(&admin);
        given.map_err(|error| explain(RDKafkaErrorCode::Authentication, &error.to_string(), &doing, &place))?;
        Ok(admin)
    })
    .await
}
