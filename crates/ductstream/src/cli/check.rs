//! `ductstream check`: what would go wrong, before anything is created.

use std::path::PathBuf;

use clap::Args;
use console::Style;
use ductstream_core::{Finding, Result, Severity};
use ductstream_object_store::FileSettings;
use ductstream_postgres::catalog::preflight;
use serde_json::json;

use super::exit::Exit;
use super::target::postgres;
use super::{Global, outboxes, output};
use crate::components::{FlowComponents, registry};
use crate::dead_letter::Letters;
use crate::flow::{DestinationKind, Flow, OnError, object_store};

const EXAMPLES: &str = "\
Examples:
  ductstream check shop.yaml
  ductstream check shop.yaml --json | jq '.findings[] | select(.severity == \"error\")'

Looks at the source, every destination and the checkpoint store. Creates nothing; in a remote object store it puts one small
object and deletes it again. Exits with 3 when something would fail.";

/// Find out what would go wrong, and what to do about it
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    /// The flow file; `-` reads standard input
    flow: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: CheckArgs, global: &Global) -> Result<Exit> {
    let flow = Flow::load(&args.flow)?;
    let store = global.store_address(&flow)?;
    let name = flow.name.to_string();
    let mut findings = preflight::check(postgres(&flow), &name).await;
    let store_finding = ductstream_control::check(&store).await;
    let checkpoint = match store_finding.severity {
        Severity::Ok => ductstream_control::peek(&store, &name).await?,
        Severity::Warning | Severity::Error => None,
    };
    if let Some(checkpoint) = &checkpoint {
        findings.push(preflight::continuity(postgres(&flow), &name, checkpoint).await);
    }
    findings.extend(outboxes::check(&flow, &global.outbox_directory(&flow)?, checkpoint.as_ref()));
    for destination in &flow.destinations {
        if let Some(settings) = object_store(&destination.kind) {
            findings.extend(ductstream_object_store::check(&settings, &name).await);
        }
        if let DestinationKind::Kafka(settings) = &destination.kind {
            findings.extend(ductstream_kafka::check(settings).await);
        }
    }
    if let Some(registry) = registry(&flow)? {
        findings.push(match registry.verify().await {
            Ok(()) => Finding::ok("schema registry", "it answers and accepts the credentials"),
            Err(error) => Finding::failed("schema registry", &error),
        });
    }
    findings.push(store_finding);
    findings.extend(dead_letters(&flow, global).await);
    findings.extend(place_of_dead_letters(&flow, global).await);
    // What a destination cannot do is a wrong setting, and ends here with its own message.
    FlowComponents::new(flow, tokio_util::sync::CancellationToken::new())?;
    let failed = findings.iter().any(|finding| finding.severity == Severity::Error);
    match args.json {
        true => output::json(&json!({"flow": name, "ok": !failed, "findings": findings}))?,
        false => output::print(&report(&findings))?,
    }
    Ok(if failed { Exit::CheckFailed } else { Exit::Done })
}

/// What waits of the records that could not be delivered.
async fn dead_letters(flow: &Flow, global: &Global) -> Option<Finding> {
    const SUBJECT: &str = "dead letters";
    let letters = Letters::existing(flow, &global.dead_letter_directory());
    let kept = match letters {
        Ok(Some(letters)) => letters.all().await,
        Ok(None) => return None,
        Err(error) => Err(error),
    };
    let waiting = match kept {
        Ok(kept) => kept.iter().filter(|kept| kept.replayed_at.is_none()).count(),
        Err(error) => return Some(Finding::failed(SUBJECT, &error)),
    };
    let remedy = "look at them with `ductstream dead-letter list`, mend the reason, and deliver them with `ductstream dead-letter replay`";
    let message = format!("{waiting} records could not be delivered, and wait");
    (waiting > 0).then(|| Finding::warning(SUBJECT, message, remedy))
}

/// Whether records that cannot be delivered have somewhere to go, where that is a directory of their own.
async fn place_of_dead_letters(flow: &Flow, global: &Global) -> Vec<Finding> {
    if flow.on_error != OnError::DeadLetter || flow.dead_letters.destination.is_some() {
        return Vec::new();
    }
    let path = flow.dead_letters.path.clone().unwrap_or_else(|| global.dead_letter_directory());
    let findings = ductstream_object_store::check(&FileSettings::at(path).into(), flow.name.as_str()).await;
    findings
        .into_iter()
        .map(|finding| Finding { subject: format!("dead letters in {}", finding.subject), ..finding })
        .collect()
}

fn report(findings: &[Finding]) -> String {
    let mut text: String = findings.iter().map(lines).collect();
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    text.push_str(&match (errors, warnings) {
        (0, 0) => "everything is in order\n".to_owned(),
        (0, _) => format!("the flow can run; {warnings} to know about\n"),
        (_, 0) => format!("the flow would fail: {errors} to mend\n"),
        _ => format!("the flow would fail: {errors} to mend, {warnings} to know about\n"),
    });
    text
}

fn lines(finding: &Finding) -> String {
    let mark = match finding.severity {
        Severity::Ok => Style::new().green().apply_to("ok     "),
        Severity::Warning => Style::new().yellow().apply_to("warning"),
        Severity::Error => Style::new().red().apply_to("error  "),
    };
    let subject = Style::new().bold().apply_to(&finding.subject);
    let remedy = finding.remedy.iter().map(|remedy| format!("        to do: {remedy}\n"));
    format!("{mark} {subject}: {}\n{}", finding.message, remedy.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_to_do_and_ends_with_the_verdict() {
        let findings = [
            Finding::ok("wal_level", "logical"),
            Finding::warning("table public.log", "no primary key", "add one"),
            Finding::error("slots", "none is free", "raise max_replication_slots"),
        ];
        let text = console::strip_ansi_codes(&report(&findings)).into_owned();
        let expected = "\
ok      wal_level: logical
warning table public.log: no primary key
        to do: add one
error   slots: none is free
        to do: raise max_replication_slots
the flow would fail: 1 to mend, 1 to know about
";
        assert_eq!(text, expected);
        assert!(report(&findings[..1]).ends_with("everything is in order\n"));
    }
}
