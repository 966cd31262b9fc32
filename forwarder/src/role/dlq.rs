//! `spanferry dlq`: dead letters by the line, and what is to be done with them.

use super::RoleError;
use super::open::{Logs, logs};
use crate::args::{ArgsError, DlqAction, DlqArgs};
use crate::dlq::{Desk, Done, Number, State, Way};
use crate::forward::{self, Destination, ExportSettings};
use crate::log::StoredRecord;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;

/// Runs one action and ends.
pub async fn dlq(args: DlqArgs) -> Result<(), RoleError> {
    let location = args.log.location()?;
    let mut settings = args.log.settings(&location);
    settings.topic.create = false;
    let Logs { log, dead_letters } = logs(&location, &settings, args.dead_letter_topic.as_deref())?;
    let way = match (args.action, &args.to) {
        (DlqAction::Discard, _) => Way::Away,
        (_, Some(to)) => Way::Destination(destination(to, &args)?),
        (_, None) => Way::Topic(log),
    };
    let mut desk = Desk::open(dead_letters).await?;
    match args.action {
        DlqAction::List => list(desk.as_ref(), &args).await,
        DlqAction::Show => show(desk.as_ref(), &args).await,
        DlqAction::Replay | DlqAction::Discard => {
            let numbers = which(&args)?;
            let Some(desk) = &mut desk else { return nothing(&args) };
            let done = desk.handle(numbers, &way).await?;
            done.iter().try_for_each(|done| line(done, args.json))?;
            if done.is_empty() { nothing(&args) } else { Ok(()) }
        }
    }
}

fn destination(to: &str, args: &DlqArgs) -> Result<Arc<dyn forward::Export>, RoleError> {
    let bad = |error: forward::DestinationError| {
        RoleError::Args(ArgsError::Destination(error.to_string()))
    };
    let destination = Destination::parse(to, &args.protocol).map_err(bad)?;
    let settings = ExportSettings { request_timeout: args.request_timeout };
    forward::connect(&destination, &settings).map_err(bad)
}

/// The letters that are named; `None` for every open one.
fn which(args: &DlqArgs) -> Result<Option<BTreeSet<Number>>, RoleError> {
    match (args.numbers.is_empty(), args.all) {
        (false, false) => Ok(Some(args.numbers.iter().copied().collect())),
        (true, true) => Ok(None),
        _ => Err(ArgsError::WhichLetters.into()),
    }
}

async fn list(desk: Option<&Desk>, args: &DlqArgs) -> Result<(), RoleError> {
    let Some(desk) = desk else { return nothing(args) };
    let (mut shown, mut failed) = (0, Ok(()));
    let show = |done: Done, _: &StoredRecord| {
        if args.all || done.state == State::Open {
            shown += 1;
            if failed.is_ok() {
                failed = line(&done, args.json);
            }
        }
    };
    desk.each(show).await?;
    failed?;
    if shown == 0 { nothing(args) } else { Ok(()) }
}

async fn show(desk: Option<&Desk>, args: &DlqArgs) -> Result<(), RoleError> {
    let wanted = which(args)?;
    let Some(desk) = desk else { return nothing(args) };
    let mut failed = Ok(());
    let show = |done: Done, record: &StoredRecord| {
        let is_wanted = match &wanted {
            Some(numbers) => numbers.contains(&done.letter.number),
            None => done.state == State::Open,
        };
        if is_wanted && failed.is_ok() {
            failed = line(&done, args.json).and_then(|()| whole(record, args.json));
        }
    };
    desk.each(show).await?;
    Ok(failed?)
}

fn nothing(args: &DlqArgs) -> Result<(), RoleError> {
    if !args.json {
        writeln!(io::stdout(), "no dead letters to {}", word(args.action))?;
    }
    Ok(())
}

fn word(action: DlqAction) -> &'static str {
    match action {
        DlqAction::List => "list",
        DlqAction::Show => "show",
        DlqAction::Replay => "replay",
        DlqAction::Discard => "discard",
    }
}

fn line(done: &Done, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        return writeln!(out, "{}", serde_json::to_string(done)?);
    }
    let Done { letter, state } = done;
    let time = jiff::Timestamp::from_millisecond(letter.timestamp_ms).unwrap_or_default();
    let place = match letter.place {
        Some((partition, offset)) => format!("{}/{partition}/{offset}", letter.topic),
        None => format!("{} (bridge)", letter.topic),
    };
    let state = match state {
        State::Open => "open",
        State::Replayed => "replayed",
        State::Discarded => "discarded",
        State::Done => "done",
    };
    writeln!(
        out,
        "{:>6}  {time:.0}  {state:9}  {:14}  {place}  {} spans  {} bytes  {}",
        letter.number.to_string(),
        letter.fault,
        letter.spans,
        letter.bytes,
        letter.reason
    )
}

/// The headers, and the spans that the letter holds.
fn whole(record: &StoredRecord, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let summary = crate::dlq::Summary::of(&record.record);
    if json {
        return writeln!(out, "{}", serde_json::to_string(&summary)?);
    }
    write!(out, "{summary}")
}
