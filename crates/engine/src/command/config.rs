//! CONFIG: GET, SET, RESETSTAT, REWRITE.

use super::introspection::help;
use super::table::{Command, Scope, flag};
use super::{Call, CommandError};
use crate::acl::User;
use crate::config::Config;
use crate::config::row::Row;
use crate::node::Node;
use crate::session::Client;
use larder_protocol::glob;
use larder_protocol::resp::args::Args;
use std::path::Path;
use std::sync::Arc;

const FLAGS: u32 = flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "config",
    summary: "Commands about the configuration.",
    since: "2.0.0",
    group: "server",
    complexity: "Depends on subcommand.",
    arity: -2,
    subcommands: SUBCOMMANDS,
    ..Command::DEFAULT
}];

const ROW: Command = Command { since: "2.0.0", group: "server", flags: FLAGS, ..Command::DEFAULT };

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "get",
        summary: "Returns the values of directives.",
        syntax: "parameter [parameter ...]",
        complexity: "O(N) when N is the number of configuration parameters provided",
        arity: -3,
        handler: get,
        ..ROW
    },
    Command {
        name: "set",
        summary: "Changes directives while the server runs.",
        syntax: "parameter value [parameter value ...]",
        complexity: "O(N) when N is the number of configuration parameters provided",
        arity: -4,
        handler: set,
        ..ROW
    },
    Command {
        name: "resetstat",
        summary: "Sets statistics to zero.",
        arity: 2,
        scope: Scope::Each,
        handler: resetstat,
        ..ROW
    },
    Command {
        name: "rewrite",
        summary: "Writes the configuration in force to the configuration file.",
        since: "2.8.0",
        arity: 2,
        handler: rewrite,
        ..ROW
    },
    Command {
        name: "help",
        summary: "Returns a help text.",
        since: "5.0.0",
        arity: 2,
        flags: flag::LOADING | flag::STALE,
        handler: show_help,
        ..ROW
    },
];

fn show_help(call: &mut Call<'_>) -> Result<(), CommandError> {
    help(call, "CONFIG", SUBCOMMANDS);
    Ok(())
}

fn get(call: &mut Call<'_>) -> Result<(), CommandError> {
    let patterns = call.args.from(2);
    let fits = |pattern: &[u8], name: &str, hidden| match hidden {
        true => pattern.eq_ignore_ascii_case(name.as_bytes()),
        false => glob::matches(pattern, name.as_bytes(), true),
    };
    let config = call.node.config();
    let mut found: Vec<(&str, String)> = Vec::new();
    for row in Row::all().filter(Row::is_shown) {
        let names = std::iter::once(row.name()).chain(row.aliases().iter().copied());
        let hidden = row.is_hidden();
        let asked = names.filter(|name| patterns.iter().any(|pattern| fits(pattern, name, hidden)));
        found.extend(asked.map(|name| (name, row.get(&config))));
    }
    call.out.map(found.len());
    for (name, value) in found {
        call.out.bulk(name.as_bytes());
        call.out.bulk(value.as_bytes());
    }
    Ok(())
}

/// All or nothing: a mistake in one leaves the others as they were.
fn set(call: &mut Call<'_>) -> Result<(), CommandError> {
    let pairs = call.args.from(2);
    if pairs.len() % 2 == 1 {
        return Err(CommandError::WrongArity);
    }
    call.node.change_config(|config| change(call.node, call.session, pairs, config))?;
    call.out.ok();
    Ok(())
}

fn change(node: &Node, session: &Client, pairs: Args<'_>, config: &mut Config) -> Result<(), CommandError> {
    let mut seen: Vec<&str> = Vec::new();
    for at in (0..pairs.len()).step_by(2) {
        let name = String::from_utf8_lossy(pairs.get(at)).into_owned();
        let value = String::from_utf8_lossy(pairs.get(at + 1));
        let fail = |what: &str| {
            CommandError::new(format!(
                "ERR CONFIG SET failed (possibly related to argument '{name}') - {what}"
            ))
        };
        let row = Row::find(&name).ok_or_else(|| {
            CommandError::new(format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'"))
        })?;
        if !row.is_changeable() {
            return Err(fail("can't set immutable config"));
        }
        if row.is_protected() && !config.settings.protected_configs.admits(session.is_of_this_machine()) {
            return Err(fail("can't set protected config"));
        }
        if seen.contains(&row.name()) {
            return Err(fail("duplicate parameter"));
        }
        seen.push(row.name());
        row.set(config, &value).map_err(|what| fail(&what))?;
    }
    if let Some(name) = seen.iter().find(|name| name.starts_with("tls-")) {
        node.tls.apply(&config.settings.tls).map_err(|error| {
            CommandError::new(format!(
                "ERR CONFIG SET failed (possibly related to argument '{name}') - {error}"
            ))
        })?;
    }
    // The first of those that say where to listen is what an error is about.
    if let Some(name) = seen.iter().find(|name| matches!(**name, "port" | "tls-port" | "bind")) {
        node.listeners.change(node, &config.settings).map_err(|_| {
            let _ = node.tls.apply(&node.settings().tls); // as it was before
            let what = match *name {
                "bind" => "Failed to bind to specified addresses.",
                _ => "Unable to listen on this port. Check server logs.",
            };
            CommandError::new(format!(
                "ERR CONFIG SET failed (possibly related to argument '{name}') - {what}"
            ))
        })?;
    }
    Ok(())
}

fn resetstat(call: &mut Call<'_>) -> Result<(), CommandError> {
    call.node.stats.reset();
    call.node.prefixes.reset_reported();
    call.node.traffic.reset();
    crate::background::forget_freed();
    crate::memory::bound::forget_moved();
    call.node.meters.iter().for_each(crate::meter::Meter::reset);
    call.keys.each_partition(|_, partition| partition.reset_counters());
    call.out.ok();
    Ok(())
}

fn rewrite(call: &mut Call<'_>) -> Result<(), CommandError> {
    let config = call.node.config();
    let Some(path) = config.settings.file.clone() else {
        return Err(CommandError::Text("ERR The server is running without a config file".into()));
    };
    let users = users(call.node);
    users
        .and_then(|users| write(&config, &users, &path))
        .map_err(|error| CommandError::new(format!("ERR Rewriting config file: {error}")))?;
    call.out.ok();
    Ok(())
}

/// The lines of the users, unless they are in a file of their own or there is only the one that `requirepass` makes.
fn users(node: &Node) -> std::io::Result<Vec<String>> {
    let users = node.users.all();
    let plain = match &users[..] {
        [only] => {
            let mut user = User::default_user();
            user.set_only_password(node.settings().requirepass.as_bytes());
            **only == user
        }
        _ => false,
    };
    if plain || node.startup.acl_file.is_some() {
        return Ok(Vec::new());
    }
    let line = |user: &Arc<User>| {
        let error = "the name or a rule of a user is no text; use an aclfile";
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| std::io::Error::other(error));
        let name = text(user.name())?;
        let name = if name.is_empty() || name.starts_with(['"', '\'']) { quoted_always(&name) } else { name };
        Ok(format!("user {name} {}", text(&user.describe())?))
    };
    users.iter().map(line).collect()
}

/// Replaces the lines of known directives by what is in force, keeps everything else, and adds what is missing and
/// differs from the default. The new file takes the old one's place at once.
fn write(config: &Config, users: &[String], path: &Path) -> std::io::Result<()> {
    let old = std::fs::read_to_string(path)?;
    let mut written: Vec<&str> = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    for line in old.lines() {
        let name = line.split_whitespace().next();
        if name.is_some_and(|name| name.eq_ignore_ascii_case("user")) {
            continue;
        }
        let row = name.and_then(Row::find).filter(Row::is_shown);
        match row {
            Some(row) if !written.contains(&row.name()) => {
                written.push(row.name());
                lines.push(as_line(&row, config));
            }
            Some(_) => {}
            None => lines.push(line.to_owned()),
        }
    }
    let defaults = Config::default();
    let missing = Row::all().filter(|row| !written.contains(&row.name()) && row.name() != "dir");
    let missing: Vec<Row> = missing.filter(|row| row.get(config) != row.get(&defaults)).collect();
    if !missing.is_empty() && !lines.iter().any(|line| line == GENERATED) {
        lines.push(GENERATED.to_owned());
    }
    lines.extend(missing.iter().map(|row| as_line(row, config)));
    lines.extend_from_slice(users);
    let new = path.with_extension("rewrite");
    std::fs::write(&new, lines.join("\n") + "\n")?;
    std::fs::set_permissions(&new, std::fs::metadata(path)?.permissions())?;
    std::fs::File::open(&new)?.sync_all()?;
    std::fs::rename(&new, path)
}

/// What CONFIG REWRITE writes before directives that the file did not have.
const GENERATED: &str = "# Generated by CONFIG REWRITE";

fn as_line(row: &Row, config: &Config) -> String {
    let value = row.get(config);
    let words = row.takes_words() && !value.is_empty() && !value.contains(['"', '\'', '\\']);
    let value = if words { value } else { quoted(&value) };
    format!("{} {value}", row.name())
}

/// A value as a configuration file takes it.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '\'' && c != '\\';
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    quoted_always(value)
}

fn quoted_always(value: &str) -> String {
    let escaped: String = value
        .chars()
        .flat_map(|c| match c {
            '"' | '\\' => vec!['\\', c],
            '\n' => vec!['\\', 'n'],
            '\r' => vec!['\\', 'r'],
            c => vec![c],
        })
        .collect();
    format!("\"{escaped}\"")
}
