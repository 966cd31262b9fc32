//! `spanferry ledger`: adds up what became of every span, prints it, and fails when the sum does not hold.

use super::RoleError;
use super::open::{Logs, logs};
use crate::args::{ArgsError, LedgerArgs};
use crate::audit::{Audit, Claims, Peer, Report, report_of, written};
use crate::log::LogError;
use std::io::Write;

/// `Ok` when the sum holds.
pub async fn ledger(args: LedgerArgs) -> Result<(), RoleError> {
    let mut report = match (args.log.location(), args.admin.first()) {
        (Err(ArgsError::NoLog), Some(admin)) => report_of(admin, args.sources).await?,
        _ => from_the_log(&args).await?,
    };
    let mut claims = Claims {
        peers: Vec::new(),
        at_destination: args.at_destination,
        known_lost: args.known_lost,
    };
    let is_from_the_log = args.log.location().is_ok();
    // The one that made the report has counted itself in.
    for admin in args.admin.iter().skip(usize::from(!is_from_the_log)) {
        claims.peers.push(Peer::ask(admin).await?);
    }
    report.hold_against(&claims);
    print(&report, args.json)?;
    if report.holds { Ok(()) } else { Err(RoleError::Ledger(report.faults.join("; "))) }
}

async fn from_the_log(args: &LedgerArgs) -> Result<Report, RoleError> {
    let location = args.log.location()?;
    let mut settings = args.log.settings(&location);
    settings.topic.create = false;
    let opened = logs(&location, &settings, args.dead_letter_topic.as_deref());
    let Logs { log, dead_letters } = opened.map_err(|error| match error {
        RoleError::Log(LogError::InUse { path }) => RoleError::Running(path),
        other => other,
    })?;
    let audit = Audit { log, dead_letters, group: args.group.clone() };
    // Before the log is read: what a bridge knows then must be there.
    let mut known = Vec::new();
    for admin in &args.admin {
        known.extend(written(admin).await?);
    }
    Ok(audit.report(args.sources, &known).await?)
}

fn print(report: &Report, json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match json {
        true => writeln!(out, "{}", serde_json::to_string(report)?),
        false => write!(out, "{report}"),
    }
}
