//! Whether the server, of its version and in the role that it has now, can serve the flow.

use ductstream_core::{Error, Result};

use crate::catalog::server::Server;
use crate::catalog::slot::SlotState;
use crate::settings::{Origin, SourceSettings};

/// Oldest server that is supported, as `server_version_num`.
pub(crate) const OLDEST_SERVER: u32 = 140_000;
/// The first version whose standbys decode.
pub(crate) const STANDBY_DECODES: u32 = 160_000;
/// The first version that filters by origin.
pub(crate) const FILTERS_ORIGIN: u32 = 160_000;
/// The first version whose standbys keep slots.
pub(crate) const FAILOVER_SLOTS: u32 = 170_000;

/// Refuses a server that cannot give what the settings ask for.
pub(crate) fn supported(settings: &SourceSettings, server: &Server) -> Result<()> {
    let version = &server.version_text;
    let refused = |message: String, remedy: &str| Err(Error::configuration(message).with_remedy(remedy));
    if server.version < OLDEST_SERVER {
        return refused(format!("PostgreSQL {version} is too old"), "use PostgreSQL 14 or later");
    }
    if server.wal_level != "logical" {
        return refused(
            format!("wal_level is {:?}, logical replication needs \"logical\"", server.wal_level),
            "run ALTER SYSTEM SET wal_level = logical, and restart the server",
        );
    }
    if settings.failover && server.version < FAILOVER_SLOTS {
        return refused(
            format!("`source.failover` needs PostgreSQL 17 or later, and this is PostgreSQL {version}"),
            "take `source.failover` out, or upgrade the server",
        );
    }
    if settings.origin == Origin::None && server.version < FILTERS_ORIGIN {
        return refused(
            format!("`source.origin: none` needs PostgreSQL 16 or later, and this is PostgreSQL {version}"),
            "take `source.origin` out, or upgrade the server",
        );
    }
    Ok(())
}

/// Refuses a standby that the flow cannot read: for ever, when it is the flow's first start; until it is promoted, later.
pub(crate) fn readable(settings: &SourceSettings, server: &Server, has_run: bool) -> Result<()> {
    let why = if !server.in_recovery {
        return Ok(());
    } else if server.version < STANDBY_DECODES {
        "standbys decode changes only from PostgreSQL 16 on"
    } else if settings.failover {
        "a flow with `source.failover` reads from the primary"
    } else {
        return Ok(());
    };
    let message = format!("the server is a standby that has not been promoted, and {why}");
    let error = if has_run { Error::retry(message) } else { Error::configuration(message) };
    Err(error.with_remedy("point `source.url` at the primary; with several hosts, add target_session_attrs=read-write"))
}

/// Waits for the promotion of a standby on which the slot is kept for a failover.
pub(crate) fn promoted(slot: Option<&SlotState>, in_recovery: bool) -> Result<()> {
    match slot {
        Some(slot) if slot.synced && in_recovery => Err(Error::retry(format!(
            "replication slot {:?} is kept in step with the primary's, and the standby has not been promoted",
            slot.name
        ))
        .with_remedy("point `source.url` at the primary, or promote the standby")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use ductstream_core::ErrorKind;

    use super::*;

    fn server(version: u32, in_recovery: bool) -> Server {
        Server {
            version,
            version_text: (version / 10_000).to_string(),
            system_identifier: "7".into(),
            timeline: 1,
            database: "shop".into(),
            wal_level: "logical".into(),
            in_recovery,
        }
    }

    fn settings(more: &str) -> SourceSettings {
        serde_json::from_str(&format!("{{{more}}}")).unwrap()
    }

    #[test]
    fn what_a_version_does_not_have_is_refused_with_the_version_that_has_it() {
        let cases = [(r#""failover": true"#, 160_000, "17"), (r#""origin": "none""#, 150_000, "16")];
        for (more, version, wanted) in cases {
            let error = supported(&settings(more), &server(version, false)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.message().contains(&format!("PostgreSQL {wanted} or later")), "{error}");
            assert!(supported(&settings(more), &server(version + 10_000, false)).is_ok());
            assert!(supported(&settings(""), &server(version, false)).is_ok());
        }
    }

    #[test]
    fn a_standby_that_cannot_be_read_is_refused_at_first_and_waited_for_later() {
        let cases = [("", 150_000), (r#""failover": true"#, 180_000)];
        for (more, version) in cases {
            let kind = |has_run| readable(&settings(more), &server(version, true), has_run).unwrap_err().kind();
            assert_eq!((kind(false), kind(true)), (ErrorKind::Configuration, ErrorKind::Retry));
            assert!(readable(&settings(more), &server(version, false), false).is_ok());
        }
        assert!(readable(&settings(""), &server(160_000, true), false).is_ok());
    }

    #[test]
    fn a_slot_that_is_kept_for_a_failover_is_free_after_the_promotion() {
        let slot = SlotState { synced: true, ..SlotState::default() };
        assert_eq!(promoted(Some(&slot), true).unwrap_err().kind(), ErrorKind::Retry);
        assert!(promoted(Some(&slot), false).is_ok() && promoted(None, true).is_ok());
    }
}
