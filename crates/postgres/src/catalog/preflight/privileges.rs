//! What the role may do.

use ductstream_core::{Error, Finding, Result};

use super::failed;
use crate::connect::{Connection, ConnectionSettings, Mode, quote_identifier, sqlstate};

/// Whether the role may replicate: tried, for managed services grant it in ways of their own.
pub(super) async fn replication(target: &ConnectionSettings) -> Finding {
    let identify = async {
        let mut connection = Connection::connect(target, Mode::Replication).await?;
        connection.simple_query("IDENTIFY_SYSTEM").await?;
        connection.close().await;
        Ok::<_, Error>(())
    };
    let subject = "replication";
    let user = &target.user;
    match identify.await {
        Ok(()) => Finding::ok(subject, format!("role {user:?} may replicate")),
        Err(error) if sqlstate(&error) == Some("42501") => {
            let remedy = format!(
                "run ALTER ROLE {} REPLICATION as a superuser (on Amazon RDS: GRANT rds_replication TO it)",
                quote_identifier(user)
            );
            Finding::error(subject, format!("role {user:?} lacks the REPLICATION privilege"), remedy)
        }
        Err(error) => failed(subject, &error),
    }
}

/// Whether the role may create publications in the database.
pub(super) async fn may_create(connection: &mut Connection) -> Result<bool> {
    let sql = "SELECT has_database_privilege(current_database(), 'CREATE')";
    let rows = connection.simple_query(sql).await?;
    Ok(rows.first().is_some_and(|row| row.get(0) == Some("t")))
}

/// The role that queries run as, as an identifier.
pub(super) async fn role(connection: &mut Connection) -> Result<String> {
    let rows = connection.simple_query("SELECT quote_ident(current_user)").await?;
    Ok(rows.first().and_then(|row| row.get(0)).unwrap_or("the role").to_owned())
}
