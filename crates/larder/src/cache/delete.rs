//! `larder delete`: asks, deletes, and waits if wanted.

use std::io::{BufRead, IsTerminal, Write};

use super::{one, wait_for};
use crate::api::Api;
use crate::arguments::{Delete, Output};
use crate::failure::{Code, Failure};
use crate::terminal::{print, print_json};

pub(crate) fn delete(arguments: &Delete) -> Result<(), Failure> {
    let api = Api::find(&arguments.asking.place)?;
    let cache = one(&api, &arguments.name)?;
    if !arguments.yes && !confirmed(&cache.name)? {
        return Err(Failure::failed("nothing was deleted"));
    }
    api.call("DeleteCacheCluster", &[("CacheClusterId", &cache.name)])?;
    if arguments.wait.asked {
        wait_for(&api, &cache.name, arguments.wait.longest.timeout, |seen| Ok(seen.is_none()))?;
    }
    let status = if arguments.wait.asked { "deleted" } else { "deleting" };
    match arguments.asking.format.output {
        Output::Json => print_json(&serde_json::json!({ "name": cache.name, "status": status })),
        Output::Table if arguments.wait.asked => print(&format!("{} is deleted\n", cache.name)),
        Output::Table => print(&format!("{} is being deleted\n", cache.name)),
    }
    Ok(())
}

/// Asks at the terminal. Where there is none to ask, `--yes` must say it.
fn confirmed(name: &str) -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::new(
            Code::WrongUse,
            format!("deleting {name} needs a yes, and there is no terminal to ask"),
        )
        .hint(format!("larder delete {name} --yes")));
    }
    let mut stderr = std::io::stderr();
    write!(stderr, "Delete the cache {name} and everything in it? Type its name to confirm: ")?;
    stderr.flush()?;
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    Ok(line.trim() == name)
}
