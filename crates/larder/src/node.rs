//! `larder node`: the engine alone. Everything after `node` belongs to the engine's own configuration.

use larder_engine::config::{Config, parse};
use larder_engine::{journal, process};

use crate::arguments::Node;
use crate::failure::{Code, Failure};

pub(crate) fn node(arguments: Node) -> Result<(), Failure> {
    let wrong = |message: String| {
        Failure::new(Code::WrongUse, message).hint("See the directives: larder node --help")
    };
    let words = arguments.rest.into_iter().map(|word| {
        word.into_string().map_err(|word| wrong(format!("{} is not UTF-8 text", word.display())))
    });
    let words = words.collect::<Result<Vec<_>, _>>()?;
    let config = parse::arguments(&words)
        .map_err(|error| Failure::failed(error.to_string()).hint("See the directives: larder node --help"))?;
    prepare(&config)?;
    larder_engine::run::run(config).map_err(|error| Failure::failed(error.to_string()))
}

/// Opens the log, and goes to the background if that was asked for.
pub(crate) fn prepare(config: &Config) -> Result<(), Failure> {
    let logfile = config.startup.logfile.as_deref();
    if config.startup.daemonize {
        process::daemonize()?;
    }
    journal::start(config.settings.loglevel, logfile).map_err(|error| {
        let path = logfile.map_or(String::new(), |path| path.display().to_string());
        Failure::failed(format!("Can't open the log file {path}: {error}"))
    })
}
