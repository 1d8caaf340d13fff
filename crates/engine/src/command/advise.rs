//! LARDER.ADVISE: watches the traffic for a while, and reports what it was like.

use super::collection::integer;
use super::table::{Command, flag};
use super::{Call, CommandError};
use crate::advise::{SECONDS_DEFAULT, SECONDS_MAX};

/// The rows of this family.
pub(crate) const COMMANDS: &[Command] = &[ADVISE];

const ADVISE: Command = Command {
    name: "larder.advise",
    summary: "Watches the traffic for a while, and reports evidence of whether it is cached well, as JSON.",
    syntax: "<START [seconds] | STOP | REPORT | FORGET>",
    complexity: "O(1); O(N) for REPORT where N is the number of keys that are looked at, at most 10,000",
    since: "7.2.4",
    group: "server",
    arity: -2,
    // Not within MULTI: REPORT takes partitions one after another.
    flags: flag::ADMIN | flag::NO_MULTI | flag::NOSCRIPT | flag::STALE,
    handler: advise,
    ..Command::DEFAULT
};

fn seconds(call: &Call<'_>) -> Result<u64, CommandError> {
    let seconds = u64::try_from(integer(call.args.get(2))?).unwrap_or(0);
    let error = || CommandError::Text(format!("ERR a watch takes from 1 to {SECONDS_MAX} seconds").into());
    (1..=SECONDS_MAX).contains(&seconds).then_some(seconds).ok_or_else(error)
}

fn advise(call: &mut Call<'_>) -> Result<(), CommandError> {
    let word = call.args.get(1).to_ascii_lowercase();
    match (word.as_slice(), call.args.len()) {
        (b"start", 2 | 3) => {
            let seconds = if call.args.len() == 3 { seconds(call)? } else { SECONDS_DEFAULT };
            call.node.start_advice(seconds);
            call.out.ok();
        }
        (b"stop", 2) => {
            call.node.stop_advice();
            call.out.ok();
        }
        (b"forget", 2) => {
            call.node.forget_advice();
            call.out.ok();
        }
        (b"report", 2) => match call.node.advice() {
            Some(report) => call.out.bulk(report.as_bytes()),
            None => call.out.null(),
        },
        _ => return Err(CommandError::Syntax),
    }
    Ok(())
}
