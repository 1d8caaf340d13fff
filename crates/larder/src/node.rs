//! `larder node`: the engine alone. Everything after `node` belongs to the engine's own configuration.

use larder_engine::config::parse;

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
    let config = parse::arguments(&words).map_err(|error| wrong(error.to_string()))?;
    crate::journal::start(level(&config.startup.loglevel), config.startup.logfile.as_deref())?;
    larder_engine::run::run(config).map_err(|error| Failure::failed(error.to_string()))
}

/// The filter for a `loglevel` of redis.conf.
fn level(name: &str) -> &'static str {
    match name {
        "debug" => "trace",
        "verbose" => "debug",
        "warning" => "warn",
        "nothing" => "off",
        _ => "info",
    }
}
