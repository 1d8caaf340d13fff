//! BITFIELD and BITFIELD_RO: several reads and changes of integers in one string.

use super::super::collection::{Answer, integer, is, text};
use super::super::patch::patch;
use super::super::{Call, CommandError};
use super::field::{Field, Overflow};
use super::{offset, read};
use crate::notify::Classes;
use larder_protocol::resp::args::Args;
use larder_protocol::resp::reply::Reply;
use larder_store::object::Digits;

/// What is done to a field.
#[derive(Clone, Copy)]
enum Act {
    Get,
    Set(i64),
    Add(i64),
}

/// One operation of a call.
#[derive(Clone, Copy)]
struct Step {
    field: Field,
    offset: usize,
    act: Act,
    overflow: Overflow,
}

impl Step {
    /// Bytes that the string needs for a change; 0 for none.
    fn needs(&self) -> usize {
        match self.act {
            Act::Get => 0,
            _ => (self.offset + self.field.bits as usize).div_ceil(8),
        }
    }

    /// What it answers, and whether it changed anything.
    fn run(&self, bytes: &mut [u8]) -> (bool, Option<i64>) {
        let old = self.field.get(bytes, self.offset);
        let (new, answer) = match self.act {
            Act::Get => return (false, Some(old)),
            Act::Set(value) => (self.field.store(value, self.overflow), old),
            Act::Add(by) => {
                let sum = self.field.add(old, by, self.overflow);
                (sum, sum.unwrap_or(0))
            }
        };
        let Some(new) = new else { return (false, None) };
        self.field.set(bytes, self.offset, new);
        (new != old, Some(answer))
    }
}

/// Reads the operations.
fn parse(call: &Call<'_>) -> Result<Vec<Step>, CommandError> {
    let args = call.args;
    let (mut steps, mut overflow, mut at) = (Vec::new(), Overflow::default(), 2);
    while at < args.len() {
        let left = args.len() - at - 1;
        match args.get(at) {
            word if is(word, "GET") && left >= 2 => {
                steps.push(step(call, at, overflow)?);
                at += 3;
            }
            word if (is(word, "SET") || is(word, "INCRBY")) && left >= 3 => {
                steps.push(step(call, at, overflow)?);
                at += 4;
            }
            word if is(word, "OVERFLOW") && left >= 1 => {
                overflow = overflow_named(*args, at + 1)?;
                at += 2;
            }
            _ => return Err(CommandError::Syntax),
        }
    }
    Ok(steps)
}

fn overflow_named(args: Args<'_>, at: usize) -> Result<Overflow, CommandError> {
    match args.get(at) {
        word if is(word, "WRAP") => Ok(Overflow::Wrap),
        word if is(word, "SAT") => Ok(Overflow::Saturate),
        word if is(word, "FAIL") => Ok(Overflow::Fail),
        _ => Err(text("ERR Invalid OVERFLOW type specified")),
    }
}

/// Reads `GET type offset`, `SET type offset value` or `INCRBY type offset increment`.
fn step(call: &Call<'_>, at: usize, overflow: Overflow) -> Result<Step, CommandError> {
    let args = call.args;
    let field = Field::parse(args.get(at + 1)).ok_or(text(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
    ))?;
    let offset = offset(call, args.get(at + 2), Some(field.bits))?;
    let act = match args.get(at) {
        word if is(word, "GET") => Act::Get,
        word if is(word, "SET") => Act::Set(integer(args.get(at + 3))?),
        _ => Act::Add(integer(args.get(at + 3))?),
    };
    Ok(Step { field, offset, act, overflow })
}

pub(super) fn bitfield(call: &mut Call<'_>) -> Answer {
    let steps = parse(call)?;
    if steps.iter().all(|step| matches!(step.act, Act::Get)) {
        return answer_reads(call, &steps);
    }
    let len = steps.iter().map(Step::needs).max().unwrap_or(0);
    let mut wrote = false;
    let (out, before) = (&mut *call.out, call.keys.dirty());
    patch(&mut call.keys, call.args.get(1), len, |bytes| {
        out.array(steps.len());
        let mut changed = false;
        for step in &steps {
            let (different, answer) = step.run(bytes);
            changed |= different;
            wrote |= !matches!(step.act, Act::Get) && answer.is_some();
            write(out, answer);
        }
        (changed, ())
    })?;
    if wrote && call.keys.dirty() > before {
        call.keys.notify(Classes::STRING, "setbit", call.args.get(1));
    }
    Ok(())
}

pub(super) fn bitfield_ro(call: &mut Call<'_>) -> Answer {
    let steps = parse(call)?;
    if steps.iter().any(|step| !matches!(step.act, Act::Get)) {
        return Err(text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    answer_reads(call, &steps)
}

fn answer_reads(call: &mut Call<'_>, steps: &[Step]) -> Answer {
    let mut digits = Digits::new();
    let bytes = read(call, call.args.get(1), &mut digits)?.unwrap_or(&[]);
    let answers: Vec<i64> = steps.iter().map(|step| step.field.get(bytes, step.offset)).collect();
    call.out.array(answers.len());
    answers.into_iter().for_each(|answer| call.out.integer(answer));
    Ok(())
}

fn write(out: &mut Reply, answer: Option<i64>) {
    match answer {
        Some(value) => out.integer(value),
        None => out.null(),
    }
}
