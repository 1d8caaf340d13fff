//! MONITOR.

use super::table::{Command, flag};
use super::{Call, CommandError};

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "monitor",
    summary: "Shows all requests as the server executes them.",
    group: "server",
    complexity: "",
    flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::NO_MULTI,
    handler: monitor,
    ..Command::DEFAULT
}];

/// From the next batch on, every worker sends what it executes to this session too.
fn monitor(call: &mut Call<'_>) -> Result<(), CommandError> {
    call.node.monitors.add(call.session.shared.place);
    call.out.ok();
    Ok(())
}
