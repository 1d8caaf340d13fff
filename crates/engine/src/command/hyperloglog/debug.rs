//! PFDEBUG: what a HyperLogLog looks like inside.

use super::super::collection::{Answer, is, text};
use super::super::{Call, CommandError};
use super::estimate::estimate;
use super::hash::Place;
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

/// Default of `hll-sparse-max-bytes`.
const SPARSE_BYTES_MAX: usize = 3000;
/// Registers that are written at random, and read back.
const SELF_TEST_ROUNDS: usize = 100;
/// Elements that are counted.
const SELF_TEST_ELEMENTS: u64 = 200_000;
/// Estimates may be wrong by so many standard deviations.
const SELF_TEST_DEVIATIONS: f64 = 6.0;

pub(super) fn pfselftest(call: &mut Call<'_>) -> Answer {
    registers_keep_what_they_are_given()?;
    estimates_are_near()?;
    call.out.ok();
    Ok(())
}

fn registers_keep_what_they_are_given() -> Answer {
    let mut bytes = sketch::empty();
    sketch::make_dense(&mut bytes).map_err(corrupt)?;
    let mut state = 1_u64;
    for _ in 0..SELF_TEST_ROUNDS {
        let wanted: Registers = std::array::from_fn(|_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 58) as u8
        });
        sketch::set_registers(&mut bytes, &wanted);
        let mut read: Registers = [0; REGISTERS];
        sketch::merge(&mut read, &bytes).map_err(corrupt)?;
        if let Some(at) = (0..REGISTERS).find(|&at| read[at] != wanted[at]) {
            let (wanted, read) = (wanted[at], read[at]);
            return Err(CommandError::new(format!(
                "TESTFAILED Register {at} should be {wanted} but is {read}"
            )));
        }
    }
    Ok(())
}

fn estimates_are_near() -> Answer {
    let deviation = 1.04 / (REGISTERS as f64).sqrt();
    let (mut dense, mut sparse) = (sketch::empty(), sketch::empty());
    sketch::make_dense(&mut dense).map_err(corrupt)?;
    let mut check_at = 1;
    for number in 1..=SELF_TEST_ELEMENTS {
        let place = Place::of(&number.to_le_bytes());
        sketch::insert_dense(&mut dense, place);
        sketch::insert(&mut sparse, place, SPARSE_BYTES_MAX).map_err(corrupt)?;
        if number < check_at {
            continue;
        }
        check_at *= 10;
        let [one, other] =
            [&dense, &sparse].map(|bytes| sketch::histogram(bytes).map(|found| estimate(&found)));
        let (one, other) = (one.map_err(corrupt)?, other.map_err(corrupt)?);
        if one != other {
            return Err(CommandError::new(format!("TESTFAILED dense says {one}, sparse says {other}")));
        }
        let bound = (number as f64 * deviation * SELF_TEST_DEVIATIONS).ceil().max(if number == 10 {
            1.0
        } else {
            0.0
        });
        if one.abs_diff(number) as f64 > bound {
            return Err(CommandError::new(format!("TESTFAILED {number} elements are counted as {one}")));
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
