//! PFDEBUG: what a HyperLogLog looks like inside.

use super::super::collection::{Answer, is, text};
use super::super::{Call, CommandError};
use super::sketch::{self, Form, REGISTERS, Registers};
use super::{copy, corrupt, sparse};
use larder_store::Value;

pub(super) fn pfdebug(call: &mut Call<'_>) -> Answer {
    let key = call.args.get(2);
    let (mut bytes, extras) = copy(call, key)?.ok_or(text("ERR The specified key does not exist"))?;
    let sparse = sketch::form(&bytes) == Some(Form::Sparse);
    match call.args.get(1) {
        word if is(word, "ENCODING") => call.out.simple(if sparse { "sparse" } else { "dense" }),
        word if is(word, "DECODE") => call.out.bulk(decoded(&bytes, sparse)?.as_bytes()),
        word if is(word, "TODENSE") || is(word, "GETREG") => {
            sketch::make_dense(&mut bytes).map_err(corrupt)?;
            let mut registers: Registers = [0; REGISTERS];
            sketch::merge(&mut registers, &bytes).map_err(corrupt)?;
            if sparse {
                call.keys.set(key, Value::Long(bytes), extras);
            }
            if is(word, "TODENSE") {
                call.out.integer(sparse.into());
            } else {
                call.out.array(REGISTERS);
                registers.iter().for_each(|&rank| call.out.integer(rank.into()));
            }
        }
        word => {
            let word = String::from_utf8_lossy(word);
            return Err(CommandError::new(format!("ERR Unknown PFDEBUG subcommand '{word}'")));
        }
    }
    Ok(())
}

/// The opcodes of a sparse sketch: `z:9` and `Z:900` for empty registers, `v:2,1` for a rank and registers of it.
fn decoded(bytes: &[u8], sparse: bool) -> Result<String, CommandError> {
    if !sparse {
        return Err(text("ERR HLL encoding is not sparse"));
    }
    let mut words = Vec::new();
    sparse::each(bytes, |_, run| words.push(run.to_string())).map_err(corrupt)?;
    Ok(words.join(" "))
}
