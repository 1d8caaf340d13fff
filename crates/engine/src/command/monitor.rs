//! MONITOR.

use super::table::{Command, flag};
use super::{Call, CommandError};

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "monitor",
    summary: "Shows all requests as the server executes them.",
    group: "server",
    complexity: "",
    flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE,
    handler: monitor,
    ..Command::DEFAULT
}];

/// From the next batch on, every worker sends what it executes to this session too.
fn monitor(call: &mut Call<'_>) -> Result<(), CommandError> {
    if !call.session.may_wait {
        return Err(CommandError::new("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    call.node.monitors.add(call.session.shared.place);
    call.out.ok();
    Ok(())
}
