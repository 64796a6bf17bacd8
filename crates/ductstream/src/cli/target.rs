//! What a command is pointed at: a flow file, or a database.

use std::path::Path;

use ductstream_core::Result;
use ductstream_postgres::connect::{Connection, ConnectionSettings, Mode};
use ductstream_postgres::settings::SourceSettings;

use crate::flow::{Flow, SourceKind};

/// Either form of the argument `URL|FLOW`.
pub(crate) enum Target {
    /// A flow file.
    Flow(Box<Flow>),
    /// A libpq URL or keyword string.
    Url(String),
}

impl Target {
    /// Reads `text`: a flow file when it names a file or ends as one does, else a database.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let path = Path::new(text);
        let named =
            path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known));
        // A URL may end in `.json`, but no flow file begins as one does.
        if text == "-" || path.is_file() || named && !text.contains("://") && !text.contains('=') {
            return Ok(Self::Flow(Box::new(Flow::load(path)?)));
        }
        Ok(Self::Url(text.to_owned()))
    }

    /// The source's address.
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Flow(flow) => &postgres(flow).url,
            Self::Url(url) => url,
        }
    }
}

/// The flow's PostgreSQL source.
pub(crate) fn postgres(flow: &Flow) -> &SourceSettings {
    let SourceKind::Postgres(settings) = &flow.source;
    settings
}

/// Connects to the database at `url` for SQL.
pub(crate) async fn connect(url: &str) -> Result<Connection> {
    Connection::connect(&ConnectionSettings::resolve(url)?, Mode::Sql).await
}
