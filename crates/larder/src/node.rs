//! `larder node`: the engine alone. Everything after `node` belongs to the engine's own configuration.

use crate::arguments::Node;
use crate::failure::Failure;
use larder_engine::config::parse;
use larder_engine::run;

pub(crate) fn node(node: Node) -> Result<(), Failure> {
    let arguments: Vec<String> =
        node.rest.into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let config = parse::arguments(&arguments).map_err(|error| Failure::failed(error.to_string()))?;
    crate::journal::of_node(&config.startup)?;
    run::run(config).map_err(|error| Failure::failed(error.to_string()))
}
