//! The publications, as they are or as they would be made.

use std::collections::BTreeSet;

use ductstream_core::{Finding, Result, TableName};

use super::{Look, failed, privileges};
use crate::catalog::pattern;
use crate::catalog::publication::{self, Publication};
use crate::catalog::table::{Kind, Table};
use crate::connect::quote_identifier;
use crate::open::default_publication;

/// What would be streamed.
#[derive(Default)]
pub(super) struct Published {
    pub(super) findings: Vec<Finding>,
    pub(super) tables: BTreeSet<TableName>,
    pub(super) sends: Sends,
}

/// What the publications say about all of their tables.
#[derive(Debug, Clone, Default)]
pub(super) struct Sends {
    /// Whether updates or deletes are published.
    pub(super) old_rows: bool,
    /// The stored generated columns that are published.
    pub(super) generated_columns: BTreeSet<(TableName, String)>,
    /// Whether the flow is what would begin to publish the tables.
    pub(super) from_now_on: bool,
}

pub(super) async fn check(look: &mut Look<'_>) -> Result<Published> {
    match &look.settings.publication {
        Some(given) => existing(look, given.names()).await,
        None if look.settings.tables.is_empty() => {
            let finding = Finding::error("source", "names neither tables nor a publication", "give `source.tables`");
            Ok(Published { findings: vec![finding], ..Published::default() })
        }
        None => own(look).await,
    }
}

/// Publications that the flow uses as they are.
async fn existing(look: &mut Look<'_>, names: &[String]) -> Result<Published> {
    let subject = format!("publication {}", names.join(", "));
    let publications = match publication::load(&mut look.sql, names).await {
        Ok(publications) => publications,
        Err(error) => return Ok(Published { findings: vec![failed(subject, &error)], ..Published::default() }),
    };
    let tables: BTreeSet<_> = publication::published(&mut look.sql, names).await?.into_iter().collect();
    let mut findings = vec![if tables.is_empty() {
        Finding::warning(&subject, "holds no table", "add tables with ALTER PUBLICATION ... ADD TABLE")
    } else {
        Finding::ok(&subject, format!("publishes {} tables", tables.len()))
    }];
    if let Err(error) = publication::same_columns(&mut look.sql, names).await {
        findings.push(failed(&subject, &error));
    }
    findings.extend(publications.iter().filter_map(lacks_operations));
    let sends = sends(look, &publications, false).await?;
    Ok(Published { findings, tables, sends })
}

async fn sends(look: &mut Look<'_>, publications: &[Publication], from_now_on: bool) -> Result<Sends> {
    let names: Vec<_> = publications.iter().map(|found| found.name.clone()).collect();
    Ok(Sends {
        old_rows: publications.iter().any(|found| found.operations[1] || found.operations[2]),
        generated_columns: publication::generated_columns(&mut look.sql, &names).await?,
        from_now_on,
    })
}

fn lacks_operations(publication: &Publication) -> Option<Finding> {
    let operations = ["insert", "update", "delete", "truncate"].into_iter().zip(publication.operations);
    let missing: Vec<_> = operations.filter(|(_, published)| !published).map(|(name, _)| name).collect();
    (!missing.is_empty()).then(|| {
        let name = &publication.name;
        let message = format!("does not publish {}: the destination will not see them", missing.join(", "));
        let remedy = format!(
            "run ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate'), unless that is meant"
        );
        Finding::warning(format!("publication {name}"), message, remedy)
    })
}

/// The publication that the flow keeps.
async fn own(look: &mut Look<'_>) -> Result<Published> {
    let wanted: Vec<Table> = match pattern::choose(&look.tables, &look.settings.tables) {
        Ok(tables) => tables.into_iter().cloned().collect(),
        Err(error) => return Ok(Published { findings: vec![failed("tables", &error)], ..Published::default() }),
    };
    let name = default_publication(look.flow);
    let (findings, sends) = match publication::find(&mut look.sql, &name).await? {
        None => {
            let all = Sends { old_rows: true, generated_columns: BTreeSet::new(), from_now_on: true };
            (create(look, &name, &wanted).await?, all)
        }
        Some(found) => {
            let sends = sends(look, std::slice::from_ref(&found), true).await?;
            (keep(look, &found, &wanted).await?, sends)
        }
    };
    Ok(Published { findings, tables: wanted.into_iter().map(|table| table.name).collect(), sends })
}

async fn create(look: &mut Look<'_>, name: &str, wanted: &[Table]) -> Result<Vec<Finding>> {
    let subject = format!("publication {name}");
    if look.server.in_recovery {
        let message = "does not exist, and cannot be created on a standby";
        return Ok(vec![Finding::error(
            subject,
            message,
            "create it on the primary, and name it in `source.publication`",
        )]);
    }
    let mut findings =
        vec![Finding::ok(&subject, format!("does not exist; the first start creates it for {} tables", wanted.len()))];
    if !privileges::may_create(&mut look.sql).await? {
        let (role, database) = (privileges::role(&mut look.sql).await?, &look.server.database);
        let message = format!("role {role} may not create publications in the database {database}");
        let remedy = format!("run GRANT CREATE ON DATABASE {} TO {role} as its owner", quote_identifier(database));
        findings.push(Finding::error(subject, message, remedy));
    }
    findings.extend(owned_by_others(look, wanted.iter()).await?);
    Ok(findings)
}

async fn keep(look: &mut Look<'_>, found: &Publication, wanted: &[Table]) -> Result<Vec<Finding>> {
    let subject = format!("publication {}", found.name);
    if found.all_tables {
        let message = "publishes all tables, so that the flow cannot choose";
        let remedy = format!("drop it, or set `source.publication: {}` in place of `source.tables`", found.name);
        return Ok(vec![Finding::error(subject, message, remedy)]);
    }
    let members = publication::members(&mut look.sql, &found.name).await?;
    let new: Vec<_> = wanted.iter().filter(|table| !members.contains(&table.name)).collect();
    let gone: Vec<_> = members.iter().filter(|name| wanted.iter().all(|table| table.name != **name)).collect();
    let mut findings = vec![Finding::ok(&subject, plan(&new, &gone, wanted.len()))];
    let changes = !(new.is_empty() && gone.is_empty());
    if changes && look.server.in_recovery {
        let remedy = "change it on the primary, or name it in `source.publication` to use it as it is";
        findings.push(Finding::error(&subject, "cannot be changed on a standby", remedy));
    }
    if changes && !found.owned {
        let role = privileges::role(&mut look.sql).await?;
        let remedy = format!("run ALTER PUBLICATION {} OWNER TO {role}", quote_identifier(&found.name));
        findings.push(Finding::error(
            &subject,
            format!("does not belong to role {role}, which has to change it"),
            remedy,
        ));
    }
    if !found.via_root && wanted.iter().any(|table| table.kind == Kind::Partitioned) {
        let message = "sends changes of partitions under the partitions' own names";
        let remedy =
            format!("run ALTER PUBLICATION {} SET (publish_via_partition_root = true)", quote_identifier(&found.name));
        findings.push(Finding::warning(&subject, message, remedy));
    }
    findings.extend(lacks_operations(found));
    findings.extend(owned_by_others(look, new.into_iter()).await?);
    Ok(findings)
}

fn plan(new: &[&Table], gone: &[&TableName], wanted: usize) -> String {
    let list = |names: Vec<String>| names.join(", ");
    let added = list(new.iter().map(|table| table.name.to_string()).collect());
    let dropped = list(gone.iter().map(|name| name.to_string()).collect());
    match (new, gone) {
        ([], []) => format!("publishes the {wanted} tables of the flow"),
        (_, []) => format!("exists; the next start adds {added}"),
        ([], _) => format!("exists; the next start drops {dropped} from it"),
        _ => format!("exists; the next start adds {added} and drops {dropped} from it"),
    }
}

/// Tables that the role cannot put into a publication.
async fn owned_by_others<'t>(look: &mut Look<'_>, tables: impl Iterator<Item = &'t Table>) -> Result<Vec<Finding>> {
    let others: Vec<_> = tables.filter(|table| !table.owned).collect();
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let role = privileges::role(&mut look.sql).await?;
    let finding = |table: &&Table| {
        let message = format!("belongs to another role; only its owner can publish it, and {role} is not");
        let remedy = format!(
            "run GRANT of the owner's role TO {role}, or let a superuser create a publication and name it in `source.publication`"
        );
        Finding::error(format!("table {}", table.name), message, remedy)
    };
    Ok(others.iter().map(finding).collect())
}
